// SPDX-License-Identifier: Apache-2.0
// io_uring through liburing. The only file that includes liburing.h: many of its functions are inline, and
// its fd_set clashes with Swift's Glibc module.
#define _GNU_SOURCE
#include "ltp_system.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

struct ltp_system_ring {
  struct io_uring ring;
};

int ltp_system_ring_create(ltp_system_ring **out, unsigned entries) {
  ltp_system_ring *ring = calloc(1, sizeof *ring);
  if (ring == NULL) return -ENOMEM;
  // One thread submits and reaps, and completions run when it asks: no interrupts of other work. The ring
  // starts disabled because the thread that enables it becomes its single issuer.
  struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                            IORING_SETUP_R_DISABLED};
  int result = io_uring_queue_init_params(entries, &ring->ring, &params);
  if (result == -EINVAL) {
    // Kernels before 6.1 know neither flag.
    struct io_uring_params plain = {.flags = IORING_SETUP_R_DISABLED};
    result = io_uring_queue_init_params(entries, &ring->ring, &plain);
  }
  if (result < 0) {
    free(ring);
    return result;
  }
  *out = ring;
  return 0;
}

int ltp_system_ring_enable(ltp_system_ring *ring) {
  // The system call itself: liburing 2.3's shared library declares io_uring_enable_rings without exporting it.
  int result = (int)syscall(
    SYS_io_uring_register, ring->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
  return result < 0 ? -errno : result;
}

int ltp_system_ring_notify(ltp_system_ring *ring, int eventfd) {
  return io_uring_register_eventfd(&ring->ring, eventfd);
}

void ltp_system_ring_destroy(ltp_system_ring *ring) {
  io_uring_queue_exit(&ring->ring);
  free(ring);
}

int ltp_system_ring_reserve_buffers(ltp_system_ring *ring, unsigned count) {
  return io_uring_register_buffers_sparse(&ring->ring, count);
}

int ltp_system_ring_reserve_files(ltp_system_ring *ring, unsigned count) {
  return io_uring_register_files_sparse(&ring->ring, count);
}

int ltp_system_ring_set_buffer(ltp_system_ring *ring, unsigned index, void *base, size_t bytes) {
  struct iovec vector = {.iov_base = base, .iov_len = bytes};
  __u64 tag = 0;
  int result = io_uring_register_buffers_update_tag(&ring->ring, index, &vector, &tag, 1);
  return result < 0 ? result : 0;
}

int ltp_system_ring_set_file(ltp_system_ring *ring, unsigned index, int descriptor) {
  int result = io_uring_register_files_update(&ring->ring, index, &descriptor, 1);
  return result < 0 ? result : 0;
}

static void set_file(struct io_uring_sqe *sqe, int file_index) {
  if (file_index < 0) return;
  sqe->fd = file_index;
  sqe->flags |= IOSQE_FIXED_FILE;
}

int ltp_system_ring_queue_write(
  ltp_system_ring *ring, int descriptor, int file_index, const void *bytes, uint32_t count,
  uint64_t offset, int buffer_index, int durable, uint64_t token) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
  if (sqe == NULL) return -EBUSY;
  if (buffer_index >= 0)
    io_uring_prep_write_fixed(sqe, descriptor, bytes, count, offset, buffer_index);
  else
    io_uring_prep_write(sqe, descriptor, bytes, count, offset);
  if (durable) sqe->rw_flags = RWF_DSYNC;
  set_file(sqe, file_index);
  io_uring_sqe_set_data64(sqe, token);
  return 0;
}

int ltp_system_ring_queue_sync(
  ltp_system_ring *ring, int descriptor, int file_index, uint64_t token) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
  if (sqe == NULL) return -EBUSY;
  io_uring_prep_fsync(sqe, descriptor, 0);
  set_file(sqe, file_index);
  io_uring_sqe_set_data64(sqe, token);
  return 0;
}

int ltp_system_ring_submit(ltp_system_ring *ring) { return io_uring_submit(&ring->ring); }

int ltp_system_ring_wait(ltp_system_ring *ring, uint64_t timeout_ns) {
  struct io_uring_cqe *cqe = NULL;
  struct __kernel_timespec timeout = {.tv_sec = (long long)(timeout_ns / 1000000000u),
                                      .tv_nsec = (long long)(timeout_ns % 1000000000u)};
  return io_uring_wait_cqe_timeout(&ring->ring, &cqe, &timeout);
}

int ltp_system_ring_collect(ltp_system_ring *ring) { return io_uring_get_events(&ring->ring); }

unsigned ltp_system_ring_reap(
  ltp_system_ring *ring, ltp_system_completion *completions, unsigned capacity) {
  struct io_uring_cqe *cqe = NULL;
  unsigned count = 0;
  // Peeking also flushes the kernel's overflow list, so a full completion queue loses nothing.
  while (count < capacity && io_uring_peek_cqe(&ring->ring, &cqe) == 0) {
    completions[count].token = io_uring_cqe_get_data64(cqe);
    completions[count].result = cqe->res;
    completions[count].reserved = 0;
    count++;
    io_uring_cqe_seen(&ring->ring, cqe);
  }
  return count;
}
