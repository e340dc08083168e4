/* SPDX-License-Identifier: Apache-2.0
 *
 * The one door to the operating system: clocks, memory, threads, files, io_uring (liburing) and SHA-256
 * (libcrypto). Thin: each function is one system or library call, and policy (what to retry, what is fatal)
 * stays with the caller. Functions that can fail return 0 or more on success and -errno on failure.
 */
#ifndef LTP_SYSTEM_H
#define LTP_SYSTEM_H

#include <stddef.h>
#include <stdint.h>

/* ---- errno values that callers tell apart ---- */
#define LTP_SYSTEM_ENOENT 2
#define LTP_SYSTEM_EINTR 4
#define LTP_SYSTEM_EIO 5
#define LTP_SYSTEM_EBADF 9
#define LTP_SYSTEM_EAGAIN 11
#define LTP_SYSTEM_ENOMEM 12
#define LTP_SYSTEM_EACCES 13
#define LTP_SYSTEM_EBUSY 16
#define LTP_SYSTEM_EEXIST 17
#define LTP_SYSTEM_ENOTDIR 20
#define LTP_SYSTEM_EINVAL 22
#define LTP_SYSTEM_ENFILE 23
#define LTP_SYSTEM_EMFILE 24
#define LTP_SYSTEM_EFBIG 27
#define LTP_SYSTEM_ENOSPC 28
#define LTP_SYSTEM_EROFS 30
#define LTP_SYSTEM_ENAMETOOLONG 36
#define LTP_SYSTEM_ETIME 62
#define LTP_SYSTEM_ESHUTDOWN 108
#define LTP_SYSTEM_ECANCELED 125
#define LTP_SYSTEM_EDQUOT 122

/* ---- clocks, randomness, waiting ---- */
uint64_t ltp_system_monotonic_ns(void);
uint64_t ltp_system_unix_ns(void);
uint64_t ltp_system_thread_cpu_ns(void);
uint64_t ltp_system_process_id(void);
void ltp_system_sleep_ns(uint64_t nanoseconds);
int ltp_system_random(void *bytes, size_t count);
/* Sleeps while *word == expected, until woken or timed out. -ETIMEDOUT, -EAGAIN and -EINTR are ordinary. */
int ltp_system_futex_wait(uint32_t *word, uint32_t expected, uint64_t timeout_ns);
void ltp_system_futex_wake_all(uint32_t *word);
void ltp_system_futex_wake_one(uint32_t *word);
/* The same between processes, on a word in a shared mapping. */
int ltp_system_shared_futex_wait(uint32_t *word, uint32_t expected, uint64_t timeout_ns);
void ltp_system_shared_futex_wake_all(uint32_t *word);
int ltp_system_boot_id(uint8_t *bytes); /* 16 bytes: another value after each boot */

static inline void ltp_system_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* Asks for the cache line in order to write it. Never faults. */
static inline void ltp_system_prefetch_for_write(const void *address) {
  __builtin_prefetch(address, 1, 3);
}

/* ---- a keyed hash of 16 bytes ---- */
typedef struct {
  _Alignas(16) uint8_t round_keys[11][16]; /* of AES-128, when has_aes */
  uint64_t low, high;                      /* the key, for whoever hashes without */
  uint64_t has_aes;
} ltp_system_mac_key;
void ltp_system_mac_init(ltp_system_mac_key *key, uint64_t low, uint64_t high);
/* The first half of one AES-128 block: of (low, high) under a mask. Only when has_aes. */
uint64_t ltp_system_mac_aes(
  const ltp_system_mac_key *key, uint64_t mask_low, uint64_t mask_high, uint64_t low, uint64_t high);

/* ---- memory: whole pages, zeroed, private ---- */
#define LTP_SYSTEM_WIPE_ON_FORK 1 /* a child sees zeros */
#define LTP_SYSTEM_NOT_IN_CHILD 2 /* a child does not have it */
#define LTP_SYSTEM_RESIDENT 4     /* there from the start, in huge pages where the system has them */
#define LTP_SYSTEM_ZEROS 8        /* to be read only: the system's own page of zeros, a huge one where it has that */
void *ltp_system_map(size_t bytes, int flags); /* NULL when there is no memory */
void ltp_system_unmap(void *base, size_t bytes);
void ltp_system_discard(void *base, size_t bytes); /* gives the memory back; the pages stay valid and read zero */

/* Copies what another thread or process may be changing, reading each byte once: what is checked and what is used
 * afterwards is the copy. Out of line, so that no compiler reads the original again. */
void ltp_system_copy(void *to, const void *from, size_t bytes);
/* The same for a zero-terminated text, of which nothing beyond its zero is read. Returns its length; capacity, with nothing
 * terminated, when there is no zero among so many bytes. */
size_t ltp_system_copy_text(char *to, const char *from, size_t capacity);

/* ---- handles ----
 * What a host holds is the address of whole pages with a generation, never 0, in the low bits. Closed memory reads as zeros
 * but stays mapped, and is used again for the same kind only, the longest closed first, under the next generation: a
 * handle that is used after its close is told, and never finds somebody else's memory. */
#define LTP_SYSTEM_HANDLE_LANE 0
#define LTP_SYSTEM_HANDLE_CORE 1
#define LTP_SYSTEM_HANDLE_PAGE 2
#define LTP_SYSTEM_HANDLE_ALIGNMENT 4096
#define LTP_SYSTEM_HANDLE_GENERATIONS 4095

/* Who is in a call with a handle, and whether it is being closed. Outlives the handle's memory. */
typedef struct ltp_system_latch ltp_system_latch;

/* The first bytes of a handle's memory. */
typedef struct ltp_system_handle_head {
  uint64_t mark; /* ltp_system_handle_mark() while the handle is good, else 0 */
  ltp_system_latch *latch;
} ltp_system_handle_head;

/* Not an address, and another one for each handle and kind. A lane's is the cheapest: each decision compares it. */
static inline uint64_t ltp_system_handle_mark(int kind, uint64_t handle) {
  return ~handle ^ (uint64_t)kind << 56;
}

/* Zeroed memory under a new handle, which is good from ltp_system_latch_open() on. NULL when there is no memory. All handles of
 * a kind have as many bytes. */
ltp_system_latch *ltp_system_latch_take_memory(int kind, size_t bytes);
void *ltp_system_latch_memory(const ltp_system_latch *latch);
void *ltp_system_latch_handle(const ltp_system_latch *latch);
void ltp_system_latch_open(ltp_system_latch *latch);
/* Begins a call. -EBADF: not a good handle of this kind. -ESHUTDOWN: it is being closed. */
int ltp_system_latch_enter(int kind, const void *handle, ltp_system_latch **latch);
void ltp_system_latch_leave(ltp_system_latch *latch);
/* Begins to close; others may still enter. -EBADF, or -ESHUTDOWN: another thread closes. */
int ltp_system_latch_claim(int kind, const void *handle, ltp_system_latch **latch);
/* The same where nobody is in a call, and shuts the latch. -EBUSY: somebody is. */
int ltp_system_latch_claim_empty(int kind, const void *handle, ltp_system_latch **latch);
void ltp_system_latch_unclaim(ltp_system_latch *latch); /* closes no more; the latch is open */
void ltp_system_latch_shut(ltp_system_latch *latch);    /* nobody enters any more */
void ltp_system_latch_reopen(ltp_system_latch *latch);
int ltp_system_latch_is_shut(const ltp_system_latch *latch);
uint32_t ltp_system_latch_users(const ltp_system_latch *latch);
/* Waits for users of a shut latch to leave, for at most this long. */
void ltp_system_latch_wait(ltp_system_latch *latch, uint64_t timeout_ns);
/* The mark is gone: the handle is told without a look at the latch. */
void ltp_system_latch_hide(ltp_system_latch *latch);
/* Discards the memory and lets it be used again. Nobody is in a call. */
void ltp_system_latch_discard_memory(ltp_system_latch *latch);

/* ---- threads ---- */
typedef struct ltp_system_thread {
  unsigned long handle;
} ltp_system_thread;
/* Starts a thread with all signals blocked. name: at most 15 characters. */
int ltp_system_thread_start(
  ltp_system_thread *thread, void (*body)(void *), void *argument, const char *name);
void ltp_system_thread_join(ltp_system_thread *thread);
void ltp_system_thread_detach(ltp_system_thread *thread);
uint64_t ltp_system_thread_id(void); /* of the calling thread; not 0 */
int ltp_system_thread_is_there(uint64_t id); /* a thread of this process has this id */

/* Says on standard error that two threads are in one lane, and ends the process. Of debug builds. */
_Noreturn void ltp_system_end_for_misuse(uint32_t lane, uint64_t thread, uint64_t other);

typedef struct ltp_system_mutex {
  uint64_t storage[8];
} ltp_system_mutex;
void ltp_system_mutex_init(ltp_system_mutex *mutex);
void ltp_system_mutex_lock(ltp_system_mutex *mutex);
void ltp_system_mutex_unlock(ltp_system_mutex *mutex);

/* ---- events: one descriptor for a host's epoll ---- */
typedef struct ltp_system_events {
  int all; /* readable when one of these is; -1: there is none */
  int timer;
  int raised; /* an eventfd */
} ltp_system_events;
int ltp_system_events_open(ltp_system_events *events, uint64_t interval_ns);
void ltp_system_events_raise(const ltp_system_events *events);
void ltp_system_events_clear(const ltp_system_events *events);
void ltp_system_events_close(ltp_system_events *events);

/* An eventfd by itself; -errno when there is none left. */
int ltp_system_event_open(void);
void ltp_system_event_raise(int descriptor);

/* ---- files ---- */
#define LTP_SYSTEM_CREATE 1    /* make it; it must not exist */
#define LTP_SYSTEM_DIRECT 2    /* O_DIRECT */
#define LTP_SYSTEM_READ_ONLY 4
int ltp_system_open_directory(const char *path);
int ltp_system_open_at(int directory, const char *name, int flags);
int ltp_system_is_writable(int directory); /* 0, or -EROFS, -EACCES, ... */
int ltp_system_close(int descriptor);
int ltp_system_lock(int descriptor); /* exclusive, without waiting: -EWOULDBLOCK when it is taken */
/* 1 when another process holds the lock, else 0. Takes a shared lock for a moment, on a descriptor of its own. */
int ltp_system_is_locked_at(int directory, const char *name);
/* 1 when the entry is a regular file itself, 0 when it is something else (links are not followed). */
int ltp_system_is_regular_at(int directory, const char *name);
int ltp_system_unlock(int descriptor); /* for every copy of the descriptor, in this process or a child */
int64_t ltp_system_size(int descriptor);
int64_t ltp_system_read_at(int descriptor, void *bytes, size_t count, uint64_t offset);
/* One pwritev2 call. durable: with RWF_DSYNC. May be short. */
int64_t ltp_system_write_at(
  int descriptor, const void *bytes, size_t count, uint64_t offset, int durable);
int ltp_system_sync(int descriptor);
int ltp_system_truncate(int descriptor, uint64_t bytes);
/* replaces == 0: -EEXIST when there is a file of the new name. */
int ltp_system_rename_at(int directory, const char *from, const char *to, int replaces);
int ltp_system_unlink_at(int directory, const char *name);
/* The next entry's name, or NULL at the end. Start with *stream == NULL; the stream closes itself at the end.
 * -errno in *failure when the directory cannot be read. */
const char *ltp_system_next_entry(int directory, void **stream, int *failure);
void ltp_system_end_entries(void *stream);
typedef struct ltp_system_facts {
  uint64_t size;
  uint64_t device;
  uint64_t inode;
  uint32_t owner;
  uint32_t mode; /* permission bits */
  int32_t is_regular;
} ltp_system_facts;
/* LTP_SYSTEM_CREATE: made with this mode less the umask; it must not exist. Does not wait for a FIFO's writer. */
int ltp_system_open_path(const char *path, int flags, unsigned mode);
int ltp_system_facts_of(int descriptor, ltp_system_facts *facts);
uint32_t ltp_system_user(void); /* the effective one */
void *ltp_system_map_file(int descriptor, size_t bytes, int is_writable); /* shared, not in a child; NULL: refused */
uint64_t ltp_system_free_bytes(int descriptor);
int ltp_system_is_in_memory(int descriptor); /* 1: on tmpfs or ramfs, where nothing is durable */
uint64_t ltp_system_locked_memory_limit(void); /* bytes; UINT64_MAX: unlimited */
const char *ltp_system_error_text(int error_number);

/* ---- io_uring ---- */
typedef struct ltp_system_ring ltp_system_ring;
typedef struct ltp_system_completion {
  uint64_t token;
  int32_t result;
  int32_t reserved;
} ltp_system_completion;

/* entries: submission queue size. The ring belongs to the thread that calls ltp_system_ring_enable. */
int ltp_system_ring_create(ltp_system_ring **ring, unsigned entries);
int ltp_system_ring_enable(ltp_system_ring *ring);
void ltp_system_ring_destroy(ltp_system_ring *ring);
/* Tables for count registered buffers and files; empty at first. */
int ltp_system_ring_reserve_buffers(ltp_system_ring *ring, unsigned count);
int ltp_system_ring_reserve_files(ltp_system_ring *ring, unsigned count);
int ltp_system_ring_set_buffer(ltp_system_ring *ring, unsigned index, void *base, size_t bytes);
int ltp_system_ring_set_file(ltp_system_ring *ring, unsigned index, int descriptor);
/* The eventfd is raised with each completion. */
int ltp_system_ring_notify(ltp_system_ring *ring, int eventfd);
/* -EBUSY when the submission queue is full. file_index or buffer_index < 0: not registered. */
int ltp_system_ring_queue_write(
  ltp_system_ring *ring, int descriptor, int file_index, const void *bytes, uint32_t count,
  uint64_t offset, int buffer_index, int durable, uint64_t token);
int ltp_system_ring_queue_sync(ltp_system_ring *ring, int descriptor, int file_index, uint64_t token);
/* Submits what is queued; returns how many the kernel took. */
int ltp_system_ring_submit(ltp_system_ring *ring);
/* Waits for a completion for at most this long. -ETIME when none came. */
int ltp_system_ring_wait(ltp_system_ring *ring, uint64_t timeout_ns);
/* Lets the kernel hand over what has been completed: it does so by itself only while the owner waits. */
int ltp_system_ring_collect(ltp_system_ring *ring);
/* Takes up to capacity completions without waiting. */
unsigned ltp_system_ring_reap(
  ltp_system_ring *ring, ltp_system_completion *completions, unsigned capacity);

/* ---- SHA-256 ---- */
/* digest: 32 bytes. -ENOMEM or -EIO when libcrypto fails. */
int ltp_system_sha256(const void *bytes, size_t count, uint8_t *digest);

#endif /* LTP_SYSTEM_H */
