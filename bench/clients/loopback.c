/*
 * What the machine itself can do: the floor under every network figure.
 *
 *   loopback bulk SECONDS BYTES       one TCP connection over 127.0.0.1, sent in pieces of BYTES
 *   loopback pingpong SECONDS BYTES   one exchange = BYTES and 64 bytes back over a unix socket, then over TCP
 *   loopback mirror SECONDS BYTES FILE FILE   the copies of a write to two nodes and no more: pieces of BYTES over a
 *                                     unix socket to one who sends them on by TCP and writes the first file, while the
 *                                     other end writes the second; four pieces on their way
 *   loopback resync SECONDS BYTES FILE FILE   those of a resynchronization: the first file read, sent by TCP, written
 *                                     to the second; both files are gone through again and again
 *   loopback evict FILE               drops the file from the page cache
 *
 * Prints one line of JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_BYTES = 64, RECEIVE_BYTES = 1 << 20, PIECES = 4 };

static void die(const char *what) {
    fprintf(stderr, "loopback: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int send_all(int fd, const char *from, size_t bytes) {
    while (bytes > 0) {
        ssize_t sent = send(fd, from, bytes, MSG_NOSIGNAL);
        if (sent <= 0) return 0;
        from += sent;
        bytes -= (size_t)sent;
    }
    return 1;
}

static int recv_all(int fd, char *to, size_t bytes) {
    while (bytes > 0) {
        ssize_t got = recv(fd, to, bytes, 0);
        if (got <= 0) return 0;
        to += got;
        bytes -= (size_t)got;
    }
    return 1;
}

static void tcp_pair(int ends[2]) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        die("listen");
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (ends[0] < 0 || connect(ends[0], (struct sockaddr *)&address, sizeof address) != 0) die("connect");
    ends[1] = accept(listener, NULL, NULL);
    if (ends[1] < 0) die("accept");
    for (int i = 0; i < 2; i++) setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    close(listener);
}

static void bulk(double seconds, size_t bytes) {
    int ends[2];
    tcp_pair(ends);
    char *data = calloc(1, bytes > RECEIVE_BYTES ? bytes : RECEIVE_BYTES);
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        close(ends[0]);
        while (recv(ends[1], data, RECEIVE_BYTES, 0) > 0) continue;
        send_all(ends[1], "x", 1);
        _exit(0);
    }
    close(ends[1]);
    double start = now();
    double total = 0;
    while (now() - start < seconds) {
        if (!send_all(ends[0], data, bytes)) die("send");
        total += (double)bytes;
    }
    shutdown(ends[0], SHUT_WR);
    recv_all(ends[0], data, 1);
    double took = now() - start;
    waitpid(child, NULL, 0);
    printf("{\"bytesPerSecond\":%.0f,\"seconds\":%.6f}\n", total / took, took);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void pingpong(double seconds, size_t bytes) {
    int local[2], remote[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, local) != 0) die("socketpair");
    tcp_pair(remote);
    char *data = calloc(1, bytes + ANSWER_BYTES);
    pid_t children[2];
    int *pairs[2] = {local, remote};
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] < 0) die("fork");
        if (children[i] > 0) continue;
        close(local[0]);
        close(remote[0]);
        while (recv_all(pairs[i][1], data, bytes) && send_all(pairs[i][1], data, ANSWER_BYTES)) continue;
        _exit(0);
    }
    close(local[1]);
    close(remote[1]);
    size_t room = 1 << 20, count = 0;
    double *took = malloc(room * sizeof *took), start = now(), total = 0;
    while (now() - start < seconds && count < room) {
        double at = now();
        for (int i = 0; i < 2; i++)
            if (!send_all(pairs[i][0], data, bytes) || !recv_all(pairs[i][0], data, ANSWER_BYTES)) die("exchange");
        took[count] = (now() - at) * 1e6;
        total += took[count++];
    }
    close(local[0]);
    close(remote[0]);
    for (int i = 0; i < 2; i++) waitpid(children[i], NULL, 0);
    qsort(took, count, sizeof *took, by_size);
    printf("{\"p50Us\":%.1f,\"meanUs\":%.1f}\n", took[count / 2], total / (double)count);
}

static int open_file(const char *path, off_t *size) {
    int fd = open(path, O_RDWR);
    if (fd < 0) die(path);
    *size = lseek(fd, 0, SEEK_END);
    return fd;
}

/* Receives pieces, writes each to the file and answers it with one byte. */
static void store(int from, size_t bytes, const char *path) {
    off_t size, at = 0;
    int fd = open_file(path, &size);
    char *data = malloc(bytes);
    while (recv_all(from, data, bytes)) {
        if (pwrite(fd, data, bytes, at) != (ssize_t)bytes) die(path);
        at = at + 2 * (off_t)bytes > size ? 0 : at + (off_t)bytes;
        if (!send_all(from, "x", 1)) break;
    }
    _exit(0);
}

/* What a primary does with what a client sends: to the peer, to its own file, and back when both have it. */
static void forward(int client, int peer, size_t bytes, const char *path) {
    off_t size, at = 0;
    int fd = open_file(path, &size), owed = 0;
    char *data = malloc(bytes), answers[PIECES];
    struct pollfd ends[2] = {{.fd = client, .events = POLLIN}, {.fd = peer, .events = POLLIN}};
    while (owed > 0 || ends[0].fd >= 0) {
        if (poll(ends, 2, -1) < 0) die("poll");
        if (ends[1].revents != 0) {
            ssize_t got = recv(peer, answers, sizeof answers, 0);
            if (got <= 0 || !send_all(client, answers, (size_t)got)) break;
            owed -= (int)got;
        }
        if (ends[0].revents == 0) continue;
        if (!recv_all(client, data, bytes)) {
            ends[0].fd = -1;
            continue;
        }
        if (!send_all(peer, data, bytes) || pwrite(fd, data, bytes, at) != (ssize_t)bytes) die("forward");
        at = at + 2 * (off_t)bytes > size ? 0 : at + (off_t)bytes;
        owed++;
    }
    _exit(0);
}

static void print_rate(double total, double start) {
    double took = now() - start;
    printf("{\"bytesPerSecond\":%.0f,\"seconds\":%.6f}\n", total / took, took);
}

/* Sends pieces, PIECES of them unanswered at most. @param fd read for each piece, or -1 */
static void feed(int to, double seconds, size_t bytes, int fd, off_t size) {
    char *data = malloc(bytes), answers[PIECES];
    memset(data, 0x5a, bytes);
    double start = now(), total = 0;
    off_t at = 0;
    int owed = 0;
    while (now() - start < seconds) {
        if (fd >= 0 && pread(fd, data, bytes, at) != (ssize_t)bytes) die("read");
        at = at + 2 * (off_t)bytes > size ? 0 : at + (off_t)bytes;
        if (!send_all(to, data, bytes)) die("send");
        owed++;
        total += (double)bytes;
        ssize_t got = recv(to, answers, sizeof answers, owed == PIECES ? 0 : MSG_DONTWAIT);
        if (got > 0) owed -= (int)got;
    }
    while (owed > 0 && recv_all(to, answers, 1)) owed--;
    print_rate(total, start);
    shutdown(to, SHUT_WR);
}

static void mirror(double seconds, size_t bytes, const char *near, const char *far) {
    int local[2], remote[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, local) != 0) die("socketpair");
    tcp_pair(remote);
    pid_t children[2];
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] < 0) die("fork");
        if (children[i] > 0) continue;
        close(local[0]);
        if (i == 0) {
            close(remote[1]);
            forward(local[1], remote[0], bytes, near);
        }
        close(local[1]);
        close(remote[0]);
        store(remote[1], bytes, far);
    }
    close(local[1]);
    close(remote[0]);
    close(remote[1]);
    feed(local[0], seconds, bytes, -1, 0);
    for (int i = 0; i < 2; i++) waitpid(children[i], NULL, 0);
}

static void resync(double seconds, size_t bytes, const char *near, const char *far) {
    int remote[2];
    off_t size;
    tcp_pair(remote);
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        close(remote[0]);
        store(remote[1], bytes, far);
    }
    close(remote[1]);
    int fd = open_file(near, &size);
    feed(remote[0], seconds, bytes, fd, size);
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "evict") == 0) {
        int fd = open(argv[2], O_RDONLY);
        if (fd < 0 || fsync(fd) != 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0) die(argv[2]);
        printf("{}\n");
        return 0;
    }
    if (argc == 6 && strcmp(argv[1], "mirror") == 0) {
        mirror(atof(argv[2]), strtoul(argv[3], NULL, 10), argv[4], argv[5]);
        return 0;
    }
    if (argc == 6 && strcmp(argv[1], "resync") == 0) {
        resync(atof(argv[2]), strtoul(argv[3], NULL, 10), argv[4], argv[5]);
        return 0;
    }
    if (argc != 4) {
        fprintf(stderr, "usage: loopback bulk|pingpong SECONDS BYTES, loopback mirror|resync SECONDS BYTES FILE FILE, "
                        "loopback evict FILE\n");
        return 64;
    }
    double seconds = atof(argv[2]);
    size_t bytes = strtoul(argv[3], NULL, 10);
    if (strcmp(argv[1], "bulk") == 0) bulk(seconds, bytes);
    else pingpong(seconds, bytes);
    return 0;
}
