/* SPDX-License-Identifier: Apache-2.0
 * Reads a trace segment by segment and checks everything that docs/FORMAT.md promises of a block's place. */
#define _GNU_SOURCE
#include "trace_reader.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LANES_MAX 65536

struct place {
  uint8_t log_id[16], previous_hash[LTP_HASH_BYTES];
  uint64_t block_index, segment_index;
  uint64_t *next_sequence; /* by lane */
  int is_sealed;
};

static int wrong(struct trace_reader *reader, const struct place *place, uint64_t offset, const char *what, ...) {
  int used = snprintf(
    reader->fault, sizeof reader->fault, "segment %llu, offset %llu, block %llu: ",
    (unsigned long long)place->segment_index, (unsigned long long)offset,
    (unsigned long long)place->block_index);
  va_list arguments;
  va_start(arguments, what);
  vsnprintf(reader->fault + used, sizeof reader->fault - (size_t)used, what, arguments);
  va_end(arguments);
  return 1;
}

static int has_hash(const void *bytes, size_t count, const uint8_t *wanted) {
  uint8_t digest[LTP_HASH_BYTES];
  unsigned length = 0;
  return EVP_Digest(bytes, count, digest, &length, EVP_sha256(), NULL) == 1 &&
         memcmp(digest, wanted, sizeof digest) == 0;
}

static int is_zero(const uint8_t *bytes, size_t count) {
  for (size_t index = 0; index < count; index++)
    if (bytes[index] != 0) return 0;
  return 1;
}

/* Walks the body's records; returns NULL or what is wrong. */
static const char *read_records(
  struct trace_reader *reader, struct place *place, const ltp_block_header *header, const uint8_t *body) {
  for (uint32_t slot = 0; slot < header->slot_count;) {
    const uint8_t *bytes = body + (size_t)slot * LTP_SLOT_BYTES;
    uint32_t slots = 1;
    if (place->is_sealed) return "a record after the segment's seal";
    if (bytes[0] >= LTP_RECORD_OPENED) {
      ltp_control_header control;
      memcpy(&control, bytes, sizeof control);
      slots = control.slot_count;
      if (header->lane_id != LTP_CONTROL_LANE) return "a control record in a lane";
      if (slots == 0 || slot + slots > header->slot_count) return "a record runs out of its block";
      place->is_sealed = bytes[0] == LTP_RECORD_SEALED;
      reader->runs += bytes[0] == LTP_RECORD_OPENED;
    } else if (bytes[0] == LTP_RECORD_DECISION) {
      ltp_decision_record record;
      memcpy(&record, bytes, sizeof record);
      reader->decisions++;
      if (reader->decision != NULL)
        reader->decision(reader->context, header->lane_id, header->first_sequence + slot, &record);
    } else if (bytes[0] == LTP_RECORD_UNRECORDED) {
      ltp_unrecorded_record record;
      memcpy(&record, bytes, sizeof record);
      reader->unrecorded += record.denied_count;
    } else if (bytes[0] == 0 || bytes[0] > LTP_RECORD_TIME) {
      return "a record of unknown kind";
    }
    slot += slots;
  }
  return NULL;
}

static const char *check_block(
  const struct place *place, const ltp_block_header *header, const uint8_t *bytes, uint64_t available,
  int is_first) {
  if (header->magic != LTP_BLOCK_MAGIC) return "magic";
  if (header->version != LTP_TRACE_VERSION || header->hash_id != LTP_HASH_SHA256) return "version";
  if (header->header_bytes != LTP_BLOCK_HEADER_BYTES) return "header_bytes";
  uint64_t used = LTP_BLOCK_HEADER_BYTES + (uint64_t)header->slot_count * LTP_SLOT_BYTES;
  uint64_t whole = (used + LTP_TRACE_PAGE_BYTES - 1) / LTP_TRACE_PAGE_BYTES * LTP_TRACE_PAGE_BYTES;
  if (header->slot_count == 0 || header->size_bytes != whole) return "size_bytes";
  if (whole > available) return "the block is cut short";
  if (!has_hash(bytes, LTP_BLOCK_HASHED_BYTES, header->block_hash)) return "block_hash";
  if (!has_hash(bytes + LTP_BLOCK_HEADER_BYTES, used - LTP_BLOCK_HEADER_BYTES, header->body_hash))
    return "body_hash";
  if (!is_zero(bytes + used, whole - used) || !is_zero(header->reserved, sizeof header->reserved))
    return "reserved bytes or padding";
  if (header->segment_index != place->segment_index) return "segment_index";
  if (header->durable_blocks > header->block_index) return "durable_blocks";
  if (header->lane_id >= LANES_MAX) return "lane_id is more than this reader keeps";
  if (is_first) return NULL;
  if (memcmp(header->log_id, place->log_id, sizeof header->log_id) != 0) return "log_id";
  if (header->block_index != place->block_index) return "block_index";
  if (memcmp(header->previous_hash, place->previous_hash, LTP_HASH_BYTES) != 0) return "previous_hash";
  if (header->first_sequence != place->next_sequence[header->lane_id]) return "first_sequence";
  return NULL;
}

static int read_segment(
  struct trace_reader *reader, struct place *place, const uint8_t *bytes, uint64_t size, int is_last) {
  uint64_t offset = 0;
  place->is_sealed = 0;
  while (offset + LTP_BLOCK_HEADER_BYTES <= size && !place->is_sealed) {
    ltp_block_header header;
    memcpy(&header, bytes + offset, sizeof header);
    if (header.magic == 0 && is_zero(bytes + offset, size - offset)) break;
    int is_first = reader->blocks == 0;
    const char *fault = check_block(place, &header, bytes + offset, size - offset, is_first);
    if (fault == NULL) fault = read_records(reader, place, &header, bytes + offset + LTP_BLOCK_HEADER_BYTES);
    if (fault != NULL) return wrong(reader, place, offset, "%s", fault);
    memcpy(place->log_id, header.log_id, sizeof place->log_id);
    memcpy(place->previous_hash, header.block_hash, LTP_HASH_BYTES);
    place->block_index = header.block_index + 1;
    place->next_sequence[header.lane_id] = header.first_sequence + header.slot_count;
    offset += header.size_bytes;
    reader->blocks++;
  }
  if (!is_zero(bytes + offset, size - offset))
    return wrong(reader, place, offset, "bytes after the last block");
  if (!is_last && !place->is_sealed) return wrong(reader, place, offset, "no seal, but a segment follows");
  return 0;
}

static int load_and_read(
  struct trace_reader *reader, struct place *place, const char *directory, int is_last) {
  char path[512];
  snprintf(path, sizeof path, "%s/%016llx.ltp", directory, (unsigned long long)place->segment_index);
  FILE *file = fopen(path, "rb");
  if (file == NULL) return wrong(reader, place, 0, "the segment is missing");
  fseek(file, 0, SEEK_END);
  size_t size = (size_t)ftell(file);
  rewind(file);
  uint8_t *bytes = malloc(size + 1);
  size_t got = bytes == NULL ? 0 : fread(bytes, 1, size, file);
  /* Fewer bytes without an error: its writer has just cut the unused end off. */
  int is_read = bytes != NULL && !ferror(file);
  fclose(file);
  int result = is_read ? read_segment(reader, place, bytes, got, is_last)
                       : wrong(reader, place, got, "cannot be read");
  free(bytes);
  return result;
}

int trace_read(struct trace_reader *reader, const char *directory) {
  struct place place = {0};
  uint64_t first = UINT64_MAX, last = 0;
  DIR *opened = opendir(directory);
  if (opened == NULL) return wrong(reader, &place, 0, "no such directory: %s", directory);
  for (struct dirent *entry = readdir(opened); entry != NULL; entry = readdir(opened)) {
    char *end = NULL;
    uint64_t index = strtoull(entry->d_name, &end, 16);
    if (end != entry->d_name + 16 || strcmp(end, ".ltp") != 0) continue;
    first = index < first ? index : first;
    last = index > last ? index : last;
  }
  closedir(opened);
  if (first == UINT64_MAX) return wrong(reader, &place, 0, "no segment in %s", directory);
  place.next_sequence = calloc(LANES_MAX, sizeof *place.next_sequence);
  if (place.next_sequence == NULL) return wrong(reader, &place, 0, "no memory");
  int result = 0;
  for (uint64_t index = first; index <= last && result == 0; index++) {
    place.segment_index = index;
    result = load_and_read(reader, &place, directory, index == last);
    reader->segments++;
  }
  free(place.next_sequence);
  return result;
}
