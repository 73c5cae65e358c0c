/*
 * An NBD client that costs as little as possible: one thread, one connection, a fixed number of
 * requests in flight, all replies of one recv() answered by one send().
 *
 *   nbd-load SOCKET EXPORT read|write BYTES DEPTH SPAN SECONDS random|sequential|touch [SEED]
 *
 * `touch` writes once to every 2 MiB of the span, however long that takes.
 * SOCKET is the path of a unix socket. SPAN: bytes of the export that are used. Prints one line of JSON.
 */
#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_BYTES = 28, REPLY_BYTES = 16, MAX_DEPTH = 1024, IN_BYTES = 1 << 20, CMD_READ = 0, CMD_WRITE = 1, CMD_DISC = 2 };

static int fd;
static int writing, depth;
static uint32_t block;
static uint64_t span, position, random_state;
static int sequential, touching;
static unsigned char *pattern;
static unsigned char *out;
static size_t out_bytes;
static double sent_at[MAX_DEPTH];
static uint32_t free_slots[MAX_DEPTH];
static int free_count;

static void die(const char *what) {
    fprintf(stderr, "nbd-load: %s: %s\n", what, errno ? strerror(errno) : "not as expected");
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void send_all(const void *from, size_t bytes) {
    const char *at = from;
    while (bytes > 0) {
        ssize_t sent = send(fd, at, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) die("send");
        at += sent;
        bytes -= (size_t)sent;
    }
}

static void recv_all(void *to, size_t bytes) {
    char *at = to;
    while (bytes > 0) {
        ssize_t got = recv(fd, at, bytes, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) die("recv");
        at += got;
        bytes -= (size_t)got;
    }
}

static void handshake(const char *export_name) {
    unsigned char greeting[18], answer[10];
    recv_all(greeting, sizeof greeting);
    if (memcmp(greeting, "NBDMAGICIHAVEOPT", 16) != 0) die("greeting");
    uint32_t flags = htobe32(3);
    uint32_t option = htobe32(1), length = htobe32((uint32_t)strlen(export_name));
    send_all(&flags, 4);
    send_all("IHAVEOPT", 8);
    send_all(&option, 4);
    send_all(&length, 4);
    send_all(export_name, strlen(export_name));
    recv_all(answer, sizeof answer);
    uint64_t size;
    memcpy(&size, answer, 8);
    if (be64toh(size) < span) die("size of the export");
}

static uint64_t next_offset(void) {
    if (touching) {
        uint64_t at = position;
        position += 2 << 20;
        return at;
    }
    if (sequential) {
        uint64_t at = position;
        position = position + 2 * block > span ? 0 : position + block;
        return at;
    }
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % (span / block) * block;
}

static void put_request(uint16_t type, uint32_t slot, uint64_t offset, uint32_t length) {
    unsigned char *at = out + out_bytes;
    uint32_t magic = htobe32(0x25609513), len = htobe32(length);
    uint16_t flags = 0, kind = htobe16(type);
    uint64_t cookie = slot, off = htobe64(offset);
    memcpy(at, &magic, 4);
    memcpy(at + 4, &flags, 2);
    memcpy(at + 6, &kind, 2);
    memcpy(at + 8, &cookie, 8);
    memcpy(at + 16, &off, 8);
    memcpy(at + 24, &len, 4);
    out_bytes += REQUEST_BYTES;
}

static void flush_out(void) {
    if (out_bytes > 0) send_all(out, out_bytes);
    out_bytes = 0;
}

/* Large payloads are sent from where they lie. */
static void request(double at) {
    uint32_t slot = free_slots[--free_count];
    sent_at[slot] = at;
    put_request(writing ? CMD_WRITE : CMD_READ, slot, next_offset(), block);
    if (!writing) return;
    if (block <= 65536) {
        memcpy(out + out_bytes, pattern, block);
        out_bytes += block;
        return;
    }
    flush_out();
    send_all(pattern, block);
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc < 9) die("usage: SOCKET EXPORT read|write BYTES DEPTH SPAN SECONDS random|sequential [SEED]");
    writing = strcmp(argv[3], "write") == 0;
    block = (uint32_t)strtoul(argv[4], NULL, 10);
    depth = atoi(argv[5]);
    span = strtoull(argv[6], NULL, 10);
    double seconds = atof(argv[7]);
    sequential = strcmp(argv[8], "sequential") == 0;
    touching = strcmp(argv[8], "touch") == 0;
    random_state = argc > 9 ? strtoull(argv[9], NULL, 10) * 2654435761u + 1 : 88172645463325252u;
    if (depth < 1 || depth > MAX_DEPTH || block == 0 || span < block) die("arguments");

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(argv[1]) >= sizeof address.sun_path) die("path");
    strcpy(address.sun_path, argv[1]);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
    handshake(argv[2]);

    pattern = malloc(block);
    for (uint32_t i = 0; i < block; i++) pattern[i] = (unsigned char)(i * 31 + (i >> 8) * 7 + 1);
    out = malloc((size_t)depth * (REQUEST_BYTES + (block <= 65536 ? block : 0)) + REQUEST_BYTES);
    size_t in_bytes = IN_BYTES > 2 * block ? IN_BYTES : 2 * block;
    unsigned char *in = malloc(in_bytes);
    size_t latency_room = 1 << 22, latencies = 0;
    float *latency = malloc(latency_room * sizeof *latency);
    if (!pattern || !out || !in || !latency) die("memory");
    for (int i = 0; i < depth; i++) free_slots[free_count++] = (uint32_t)i;

    double start = now(), at = start, end = start + seconds;
    uint64_t done = 0;
    size_t have = 0, skip = 0;
    while (free_count > 0 && !(touching && position + block > span)) request(at);
    flush_out();
    while (free_count < depth) {
        ssize_t got = recv(fd, in + have, in_bytes - have, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) die("recv");
        have += (size_t)got;
        at = now();
        size_t read_to = 0;
        for (;;) {
            if (skip > 0) {
                size_t part = have - read_to < skip ? have - read_to : skip;
                skip -= part;
                read_to += part;
                if (skip > 0) break;
            }
            if (have - read_to < REPLY_BYTES) break;
            uint32_t magic, error;
            uint64_t slot;
            memcpy(&magic, in + read_to, 4);
            memcpy(&error, in + read_to + 4, 4);
            memcpy(&slot, in + read_to + 8, 8);
            if (be32toh(magic) != 0x67446698 || slot >= (uint64_t)depth) die("reply");
            if (error != 0) die("an error from the server");
            read_to += REPLY_BYTES;
            if (!writing) skip = block;
            if (latencies < latency_room) latency[latencies++] = (float)((at - sent_at[slot]) * 1e6);
            done++;
            free_slots[free_count++] = (uint32_t)slot;
            if (touching ? position + block <= span : at < end) request(at);
        }
        memmove(in, in + read_to, have - read_to);
        have -= read_to;
        flush_out();
    }
    double took = now() - start;
    put_request(CMD_DISC, 0, 0, 0);
    flush_out();
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    qsort(latency, latencies, sizeof *latency, by_size);
    printf("{\"operations\":%llu,\"seconds\":%.6f,\"bytesPerSecond\":%.0f,\"p50Us\":%.1f,\"p99Us\":%.1f,\"clientCpuUs\":%.2f}\n",
           (unsigned long long)done, took, (double)done * block / took, latency[latencies / 2],
           latency[latencies * 99 / 100], cpu * 1e6 / (double)done);
    return 0;
}
