/*
 * Load generator of bench/macro: one thread, one epoll loop, no dependencies.
 *
 *     cc -O2 -o loadgen loadgen.c
 *     ./loadgen --port 3000 --pid 1234 --scenario echo --conns 100 --depth 1 --size 32
 *
 * Drives a Socket.IO server (Engine.IO 3 or 4) over WebSocket or HTTP long-polling, checks every byte of
 * every reply, and prints one JSON object. The loop is closed: each connection keeps `depth` messages in
 * flight and sends the next when a reply has been checked.
 *
 * Every message carries a sequence number and its connection's number, so a lost, repeated, reordered or
 * misdirected reply is an error of its own kind, not a message.
 *
 * Besides Socket.IO it speaks two reduced protocols, for floors: `ws` is a WebSocket without Engine.IO, `raw`
 * is TCP without a handshake. Both send the same payloads and expect them back unchanged; `raw` sends
 * its frames unmasked, so that what a byte echo returns is a valid server frame.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum scenario { ECHO, ACK, BINARY, BROADCAST, CONNECT, POLLING, IDLE };
static const char *const scenario_names[] = {"echo", "ack", "binary", "broadcast", "connect", "polling", "idle"};
enum { SCENARIOS = sizeof scenario_names / sizeof *scenario_names };

enum proto { SIO, WS, RAW };

enum state {
    CLOSED,     /* no socket */
    TCP,        /* connect() under way */
    UPGRADE,    /* waiting for the 101 */
    OPEN,       /* waiting for the open packet */
    NSP,        /* waiting for the reply to CONNECT */
    READY,      /* in the scenario */
    CLOSING,    /* close frame sent, waiting for the server to end the stream */
    POLL_OPEN,  /* polling: handshake GET under way */
    POLL_NSP_POST,
    POLL_NSP_GET,
    POLL_POST,
    POLL_GET,
};

enum error { E_CONNECT, E_HTTP, E_REFUSED, E_PROTOCOL, E_CLOSED, E_CONTENT, E_ORDER, E_DUPLICATE, E_TIMEOUT, ERRORS };
static const char *const error_names[ERRORS] = {
    "connect", "http", "refused", "protocol", "closed", "content", "order", "duplicate", "timeout",
};

struct slot {
    uint64_t sent; /* ns; 0: free */
    uint32_t seq;
};

struct conn {
    int fd;
    uint8_t state;
    bool want_write;
    bool attachment_due; /* the text part of a binary reply has been seen */
    bool ping_due;       /* polling: put a pong (v4) or a ping (v3) into the next POST */
    uint32_t index;
    uint32_t tx_seq, rx_seq;
    uint32_t in_flight;
    uint64_t since; /* ns of the last progress, for the timeout */
    uint64_t pinged;
    struct slot *slots;
    char *in; /* an incomplete frame or response, kept between reads */
    size_t in_len;
    char *out; /* what the kernel did not take */
    size_t out_len, out_off;
    char sid[64];
};

/* options */
static const char *host = "127.0.0.1", *path = "/socket.io/";
static int port, eio = 4, scenario = ECHO, proto = SIO;
static uint32_t n_conns = 100, depth = 1, size = 32, ramp = 64;
static double warmup_s = 2, seconds = 5, timeout_s = 10;
static int pids[16], n_pids;

/* state */
static int ep;
static struct conn *conns;
static uint32_t opened, setting_up, ready, slot_mask;
static struct slot *casts; /* broadcasts in flight */
static uint32_t *cast_left;
static uint32_t casts_in_flight;
static uint64_t messages, errors[ERRORS];
static uint64_t hist[64 * 64];
static bool measuring, running, stopping;
static double ping_interval = 25;
static uint64_t now;
static char first_error[256];
static volatile sig_atomic_t interrupted;

/* the message template: prefix, payload, suffix */
static char *filler;
static char prefix[64], reply_prefix[64];
static size_t prefix_len, reply_prefix_len;
static const char *suffix = "\"]";
enum { SEQ = 8, TAG = 16 /* seq 8, dash, connection 6, dash */ };

static char *rbuf, *wbuf;
static size_t rcap, wcap, wlen;

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("loadgen: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

static void *need(void *p) {
    if (!p) die("out of memory");
    return p;
}

/* ---- figures ---- */

static void record(uint64_t ns) {
    if (!measuring) return;
    unsigned exp = ns < 64 ? 0 : 63u - (unsigned)__builtin_clzll(ns) - 5;
    hist[exp * 64 + (ns >> exp)]++; /* 64 steps per power of two: 3 % wide */
}

static double percentile(double p) {
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < sizeof hist / sizeof *hist; i++) total += hist[i];
    if (!total) return 0;
    for (size_t i = 0; i < sizeof hist / sizeof *hist; i++) {
        seen += hist[i];
        if ((double)seen >= p * (double)total) {
            return ((double)(i % 64) + 0.5) * (double)(1ull << (i / 64)) / 1e3; /* µs */
        }
    }
    return 0;
}

struct usage {
    double cpu, user, system; /* seconds; user and system only to the clock tick */
    long rss;                 /* bytes */
};

static bool read_small(const char *name, char *buf, size_t cap) {
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, buf, cap - 1);
    close(fd);
    buf[n > 0 ? n : 0] = 0;
    return n > 0;
}

static struct usage server_usage(void) {
    struct usage u = {0, 0, 0, 0};
    char name[320], buf[4096];
    for (int i = 0; i < n_pids; i++) {
        snprintf(name, sizeof name, "/proc/%d/stat", pids[i]);
        if (!read_small(name, buf, sizeof buf)) die("no process %d", pids[i]);
        char *after = strrchr(buf, ')'); /* the name before it may hold spaces */
        unsigned long ut = 0, st = 0;
        if (!after || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &ut, &st) != 2)
            die("cannot read %s", name);
        double tick = (double)sysconf(_SC_CLK_TCK), precise = 0;
        u.user += (double)ut / tick;
        u.system += (double)st / tick;
        /* schedstat has nanoseconds, but per thread */
        snprintf(name, sizeof name, "/proc/%d/task", pids[i]);
        DIR *dir = opendir(name);
        bool have = dir != NULL;
        for (struct dirent *e; dir && (e = readdir(dir));) {
            if (e->d_name[0] == '.') continue;
            snprintf(name, sizeof name, "/proc/%d/task/%.32s/schedstat", pids[i], e->d_name);
            if (read_small(name, buf, sizeof buf)) precise += strtod(buf, NULL) / 1e9;
            else have = false;
        }
        if (dir) closedir(dir);
        u.cpu += have && precise > 0 ? precise : (double)(ut + st) / tick;
        /* statm's figure may lag by some pages per CPU; the roll-up is exact */
        snprintf(name, sizeof name, "/proc/%d/smaps_rollup", pids[i]);
        char *rss = read_small(name, buf, sizeof buf) ? strstr(buf, "Rss:") : NULL;
        if (rss) {
            u.rss += strtol(rss + 4, NULL, 10) * 1024;
        } else {
            snprintf(name, sizeof name, "/proc/%d/statm", pids[i]);
            if (read_small(name, buf, sizeof buf)) u.rss += strtol(strchr(buf, ' '), NULL, 10) * sysconf(_SC_PAGESIZE);
        }
    }
    return u;
}

static double own_cpu(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* ---- connections ---- */

static void start_conn(struct conn *c);

static void interest(struct conn *c, bool write) {
    if (c->want_write == write) return;
    c->want_write = write;
    struct epoll_event e = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e) < 0) die("epoll_ctl: %s", strerror(errno));
}

static void drop(struct conn *c) {
    if (c->state == CLOSED) return;
    if (c->state == READY || c->state == POLL_POST || c->state == POLL_GET) ready--;
    else if (c->state != CLOSING) setting_up--;
    close(c->fd);
    free(c->in);
    free(c->out);
    c->fd = -1;
    c->in = c->out = NULL;
    c->in_len = c->out_len = c->out_off = 0;
    c->state = CLOSED;
    wlen = 0;
}

static void count_error(struct conn *c, int kind, const char *what, const char *data, size_t len) {
    if (stopping) return;
    if (!first_error[0]) {
        int n = snprintf(first_error, sizeof first_error, "%s on connection %u: ", what, c->index);
        for (size_t i = 0; i < len && i < 120 && n < (int)sizeof first_error - 1; i++)
            first_error[n++] = data[i] < 32 || data[i] > 126 || data[i] == '"' || data[i] == '\\' ? '.' : data[i];
        first_error[n] = 0;
    }
    errors[kind]++;
}

/* An error after which the connection cannot go on. */
static void fail(struct conn *c, int kind, const char *what, const char *data, size_t len) {
    count_error(c, kind, what, data, len);
    drop(c);
    if (scenario == CONNECT && running && !stopping) start_conn(c);
}

/* Room for `len` more bytes of the current event's one write. */
static char *reserve(size_t len) {
    if (wlen + len > wcap) {
        wcap = (wlen + len) * 2;
        wbuf = need(realloc(wbuf, wcap));
    }
    return wbuf + wlen;
}

static void flush(struct conn *c) {
    if (!wlen || c->state == CLOSED) return;
    size_t done = 0;
    if (!c->out_len) {
        ssize_t n = send(c->fd, wbuf, wlen, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            fail(c, E_CLOSED, strerror(errno), "", 0);
            return;
        }
        done = n > 0 ? (size_t)n : 0;
    }
    if (done < wlen) {
        c->out = need(realloc(c->out, c->out_len + wlen - done));
        memcpy(c->out + c->out_len, wbuf + done, wlen - done);
        c->out_len += wlen - done;
        interest(c, true);
    }
    wlen = 0;
}

static void writable(struct conn *c) {
    ssize_t n = send(c->fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN) fail(c, E_CLOSED, strerror(errno), "", 0);
        return;
    }
    c->out_off += (size_t)n;
    if (c->out_off == c->out_len) {
        free(c->out);
        c->out = NULL;
        c->out_len = c->out_off = 0;
        interest(c, false);
    }
}

/* Begin a frame of `len` bytes; returns where its payload goes. end_frame() masks it. */
static char *begin_frame(int opcode, size_t len, uint32_t *key) {
    static uint32_t random_state = 2463534242u;
    unsigned char *p = (unsigned char *)reserve(len + 14);
    bool masked = proto != RAW;
    size_t n = 2;
    p[0] = (unsigned char)(0x80 | opcode);
    if (len < 126) {
        p[1] = (unsigned char)len;
    } else if (len < 65536) {
        p[1] = 126;
        p[2] = (unsigned char)(len >> 8);
        p[3] = (unsigned char)len;
        n = 4;
    } else {
        p[1] = 127;
        for (int i = 0; i < 8; i++) p[2 + i] = (unsigned char)((uint64_t)len >> (56 - 8 * i));
        n = 10;
    }
    if (masked) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 17;
        random_state ^= random_state << 5;
        *key = random_state;
        p[1] |= 0x80;
        memcpy(p + n, key, 4);
        n += 4;
    } else {
        *key = 0;
    }
    wlen += n;
    return (char *)p + n;
}

static void end_frame(char *payload, size_t len, uint32_t key) {
    if (key) {
        uint64_t wide = (uint64_t)key << 32 | key, word;
        size_t i = 0;
        for (; i + 8 <= len; i += 8) {
            memcpy(&word, payload + i, 8);
            word ^= wide;
            memcpy(payload + i, &word, 8);
        }
        for (; i < len; i++) payload[i] ^= (char)(key >> (8 * (i & 3)));
    }
    wlen += len;
}

static void add_frame(int opcode, const char *data, size_t len) {
    uint32_t key;
    char *p = begin_frame(opcode, len, &key);
    memcpy(p, data, len);
    end_frame(p, len, key);
}

static void hex(char *p, uint32_t v, int digits) {
    while (digits--) {
        p[digits] = "0123456789abcdef"[v & 15];
        v >>= 4;
    }
}

static int64_t unhex(const char *p, int digits) {
    int64_t v = 0;
    while (digits--) {
        int d = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 : -1;
        if (d < 0) return -1;
        v = v << 4 | d;
        p++;
    }
    return v;
}

static void put_payload(char *p, uint32_t seq, uint32_t index) {
    hex(p, seq, SEQ);
    p[SEQ] = '-';
    hex(p + SEQ + 1, index, 6);
    p[TAG - 1] = '-';
    memcpy(p + TAG, filler, size - TAG);
}

/* Is this `size` bytes of the payload of connection `index`? Returns the sequence number or -1. */
static int64_t payload_seq(const char *p, uint32_t index) {
    if (p[SEQ] != '-' || unhex(p + SEQ + 1, 6) != index || p[TAG - 1] != '-') return -1;
    if (memcmp(p + TAG, filler, size - TAG) != 0) return -1;
    return unhex(p, SEQ);
}

static size_t put_text(char *p, uint32_t seq, uint32_t index) {
    char *start = p;
    memcpy(p, prefix, prefix_len);
    p += prefix_len;
    if (scenario == ACK) p += sprintf(p, "%u[\"ack\",\"", seq);
    put_payload(p, seq, index);
    p += size;
    memcpy(p, suffix, 2);
    return (size_t)(p + 2 - start);
}

static void add_message(uint32_t seq, uint32_t index) {
    uint32_t key;
    if (scenario == BINARY) {
        add_frame(1, prefix, prefix_len);
        size_t lead = eio == 3 && proto == SIO; /* version 3 marks a binary message with its type */
        char *p = begin_frame(2, lead + size, &key);
        if (lead) *p = 4;
        put_payload(p + lead, seq, index);
        end_frame(p, lead + size, key);
        return;
    }
    size_t len = prefix_len + size + 2;
    if (scenario == ACK) len += (size_t)snprintf(NULL, 0, "%u[\"ack\",\"", seq);
    char *p = begin_frame(1, len, &key);
    put_text(p, seq, index);
    end_frame(p, len, key);
}

/* Fill the connection's window. */
static void send_more(struct conn *c) {
    if (stopping || !running || scenario == IDLE) return;
    if (scenario == BROADCAST) {
        while (c->index == 0 && casts_in_flight < depth && !casts[c->tx_seq & slot_mask].sent) {
            struct slot *s = &casts[c->tx_seq & slot_mask];
            s->sent = now;
            s->seq = c->tx_seq;
            cast_left[c->tx_seq & slot_mask] = ready;
            casts_in_flight++;
            add_message(c->tx_seq++, 0);
        }
        return;
    }
    while (c->in_flight < depth && !c->slots[c->tx_seq & slot_mask].sent) {
        struct slot *s = &c->slots[c->tx_seq & slot_mask];
        s->sent = now;
        s->seq = c->tx_seq;
        c->in_flight++;
        add_message(c->tx_seq++, c->index);
    }
}

static void delivered(struct conn *c, uint32_t seq, const char *data, size_t len) {
    struct slot *s = scenario == BROADCAST ? &casts[seq & slot_mask] : &c->slots[seq & slot_mask];
    if (seq != c->rx_seq) {
        if (!s->sent || s->seq != seq || (scenario == BROADCAST && seq < c->rx_seq)) {
            count_error(c, E_DUPLICATE, "unexpected or repeated reply", data, len);
            return;
        }
        count_error(c, E_ORDER, "reply out of order", data, len);
    } else if (!s->sent || s->seq != seq) {
        count_error(c, E_CONTENT, "reply to what was not sent", data, len);
        return;
    }
    if (seq >= c->rx_seq) c->rx_seq = seq + 1;
    c->since = now;
    messages++;
    record(now - s->sent);
    if (scenario == BROADCAST) {
        if (--cast_left[seq & slot_mask] == 0) {
            s->sent = 0;
            casts_in_flight--;
        }
    } else {
        s->sent = 0;
        c->in_flight--;
    }
}

static void check_reply(struct conn *c, const char *p, size_t len) {
    const char *data = p;
    size_t total = len, tail = size + 2;
    uint32_t id = 0;
    if (len < reply_prefix_len + tail || memcmp(p, reply_prefix, reply_prefix_len) != 0) goto bad;
    p += reply_prefix_len;
    len -= reply_prefix_len;
    if (scenario == ACK) {
        size_t digits = 0;
        while (digits < len && p[digits] >= '0' && p[digits] <= '9') id = id * 10 + (uint32_t)(p[digits++] - '0');
        const char *rest = proto == SIO ? "[\"" : "[\"ack\",\"";
        size_t rest_len = strlen(rest);
        if (!digits || len != digits + rest_len + tail || memcmp(p + digits, rest, rest_len) != 0) goto bad;
        p += digits + rest_len;
        len = tail;
    }
    if (len != tail || memcmp(p + size, suffix, 2) != 0) goto bad;
    int64_t seq = payload_seq(p, scenario == BROADCAST ? 0 : c->index);
    if (seq < 0 || (scenario == ACK && (uint32_t)seq != id)) goto bad;
    delivered(c, (uint32_t)seq, data, total);
    return;
bad:
    count_error(c, E_CONTENT, "not the reply expected", data, total);
}

static double find_number(const char *p, size_t len, const char *key, double otherwise) {
    const char *at = memmem(p, len, key, strlen(key));
    return at ? strtod(at + strlen(key), NULL) : otherwise;
}

static void add_close(void) { add_frame(8, "\x03\xe8", 2); }

static void become_ready(struct conn *c) {
    setting_up--;
    if (scenario == CONNECT) {
        c->state = CLOSING;
        if (proto != RAW) add_close();
        return;
    }
    c->state = scenario == POLLING ? POLL_POST : READY;
    ready++;
}

static void finished_connect(struct conn *c) {
    messages++;
    record(now - c->slots[0].sent);
    drop(c);
    if (!stopping) start_conn(c);
}

/* One WebSocket message. */
static void message(struct conn *c, int opcode, const char *p, size_t len) {
    if (opcode == 9) {
        add_frame(10, p, len);
        return;
    }
    if (opcode == 10) return;
    if (opcode == 8) {
        if (c->state != CLOSING) fail(c, E_CLOSED, "close frame", p, len);
        return; /* the server ends the stream next */
    }
    if (c->state == CLOSING) return;
    if (proto == RAW && c->state == OPEN) {
        become_ready(c);
        if (scenario == CONNECT) shutdown(c->fd, SHUT_WR);
        return;
    }
    if (proto == SIO) {
        if (opcode == 1 && len == 1 && *p == '2') {
            add_frame(1, "3", 1);
            return;
        }
        if (opcode == 1 && len == 1 && (*p == '3' || *p == '6')) return;
        if (c->state == OPEN) {
            if (opcode != 1 || len < 2 || p[0] != '0' || p[1] != '{') {
                fail(c, E_PROTOCOL, "no open packet", p, len);
                return;
            }
            ping_interval = find_number(p, len, "\"pingInterval\":", 25000) / 1000;
            c->state = NSP;
            if (eio == 4) add_frame(1, "40", 2);
            return;
        }
        if (c->state == NSP) {
            if (opcode == 1 && len >= 2 && p[0] == '4' && p[1] == '0') become_ready(c);
            else fail(c, opcode == 1 && len >= 2 && p[1] == '4' ? E_REFUSED : E_PROTOCOL, "no CONNECT reply", p, len);
            return;
        }
    }
    if (scenario == BINARY) {
        size_t lead = eio == 3 && proto == SIO;
        if (!c->attachment_due) {
            if (opcode == 1 && len == reply_prefix_len && !memcmp(p, reply_prefix, len)) c->attachment_due = true;
            else count_error(c, E_CONTENT, "not the header expected", p, len);
            return;
        }
        c->attachment_due = false;
        int64_t seq = opcode == 2 && len == size + lead && (!lead || *p == 4) ? payload_seq(p + lead, c->index) : -1;
        if (seq < 0) count_error(c, E_CONTENT, "not the attachment expected", p, len);
        else delivered(c, (uint32_t)seq, p, len);
        return;
    }
    if (opcode == 1) check_reply(c, p, len);
    else count_error(c, E_CONTENT, "binary message", p, len);
}

/* Consume whole frames; returns how many bytes, or -1 after the connection was dropped. */
static ssize_t frames(struct conn *c, const char *start, size_t len) {
    const unsigned char *p = (const unsigned char *)start, *end = p + len;
    while (end - p >= 2) {
        size_t head = 2;
        uint64_t n = p[1] & 0x7f;
        if (n == 126) {
            if (end - p < 4) break;
            n = (uint64_t)p[2] << 8 | p[3];
            head = 4;
        } else if (n == 127) {
            if (end - p < 10) break;
            n = 0;
            for (int i = 0; i < 8; i++) n = n << 8 | p[2 + i];
            head = 10;
        }
        if (p[1] & 0x80 || (p[0] & 0xf0) != 0x80 || n > 1u << 26) {
            fail(c, E_PROTOCOL, "masked, fragmented, compressed or huge frame", (const char *)p, (size_t)(end - p));
            return -1;
        }
        if ((uint64_t)(end - p) < head + n) break;
        message(c, p[0] & 15, (const char *)p + head, (size_t)n);
        if (c->state == CLOSED || c->state == TCP) return -1;
        p += head + n;
    }
    return (const char *)p - start;
}

static void add_upgrade(void) {
    char request[512];
    int n = snprintf(request, sizeof request,
                     "GET %s%s HTTP/1.1\r\nHost: %s:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                     proto == SIO ? path : "/", proto != SIO ? "" : eio == 4 ? "?EIO=4&transport=websocket" : "?EIO=3&transport=websocket",
                     host, port);
    memcpy(reserve((size_t)n), request, (size_t)n);
    wlen += (size_t)n;
}

/* ---- long-polling ---- */

static void add_request(struct conn *c, const char *body, size_t len, bool post) {
    char *p = reserve(len + 512);
    int n = snprintf(p, 512, "%s %s?EIO=%d&transport=polling%s%s HTTP/1.1\r\nHost: %s:%d\r\n", post ? "POST" : "GET", path, eio,
                     c->sid[0] ? "&sid=" : "", c->sid, host, port);
    if (post) n += sprintf(p + n, "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %zu\r\n", len);
    n += sprintf(p + n, "\r\n");
    memcpy(p + n, body, len);
    wlen += (size_t)n + len;
}

/* Append an Engine.IO packet to a polling body. */
static size_t pack(char *p, size_t at, const char *packet, size_t len) {
    if (eio == 3) at += (size_t)sprintf(p + at, "%zu:", len);
    else if (at) p[at++] = 0x1e;
    memcpy(p + at, packet, len);
    return at + len;
}

static void poll_post(struct conn *c) {
    char body[size + 256], text[size + 128];
    size_t n = 0;
    if (c->ping_due) n = pack(body, n, eio == 4 ? "3" : "2", 1);
    c->ping_due = false;
    c->state = POLL_POST;
    if (!c->in_flight) {
        if (!running || stopping) return; /* the start or the end of the run */
        struct slot *s = &c->slots[c->tx_seq & slot_mask];
        s->sent = now;
        s->seq = c->tx_seq;
        c->in_flight = 1;
        n = pack(body, n, text, put_text(text, c->tx_seq++, c->index));
    }
    add_request(c, body, n, true);
}

static void poll_packet(struct conn *c, const char *p, size_t len) {
    if (c->state == POLL_OPEN && len > 2 && p[0] == '0' && p[1] == '{') {
        const char *at = memmem(p, len, "\"sid\":\"", 7);
        const char *end = at ? memchr(at + 7, '"', len - (size_t)(at + 7 - p)) : NULL;
        if (!end || (size_t)(end - at - 7) >= sizeof c->sid) return;
        memcpy(c->sid, at + 7, (size_t)(end - at - 7));
        c->sid[end - at - 7] = 0;
        ping_interval = find_number(p, len, "\"pingInterval\":", 25000) / 1000;
    } else if (len >= 2 && p[0] == '4' && p[1] == '0' && c->state != POLL_GET) {
        become_ready(c);
    } else if (len == 1 && *p == '2') {
        c->ping_due = true;
    } else if (len == 1 && (*p == '3' || *p == '6')) {
        return;
    } else if (c->state == POLL_GET) {
        check_reply(c, p, len);
    } else {
        count_error(c, E_PROTOCOL, "unexpected packet", p, len);
    }
}

static void poll_response(struct conn *c, int status, const char *p, size_t len) {
    if (status != 200) {
        fail(c, E_HTTP, "HTTP status", p, len);
        return;
    }
    if (c->state == POLL_POST || c->state == POLL_NSP_POST) {
        if (len != 2 || strncasecmp(p, "ok", 2) != 0) { /* python-engineio shouts it */
            fail(c, E_PROTOCOL, "POST not answered by ok", p, len);
            return;
        }
        c->state = c->state == POLL_POST ? POLL_GET : POLL_NSP_GET;
        add_request(c, "", 0, false);
        return;
    }
    const char *end = p + len;
    while (p < end) {
        size_t n;
        if (eio == 3) {
            char *colon;
            n = strtoul(p, &colon, 10);
            p = colon + 1;
            if (colon >= end || *colon != ':' || n > (size_t)(end - p)) {
                fail(c, E_PROTOCOL, "bad payload", p, (size_t)(end - p));
                return;
            }
            poll_packet(c, p, n);
            p += n;
        } else {
            const char *rs = memchr(p, 0x1e, (size_t)(end - p));
            n = rs ? (size_t)(rs - p) : (size_t)(end - p);
            poll_packet(c, p, n);
            p += n + 1;
        }
    }
    if (c->state == POLL_POST) return; /* just connected */
    if (c->state == POLL_OPEN || c->state == POLL_NSP_GET) {
        if (!c->sid[0]) {
            fail(c, E_PROTOCOL, "no open packet", "", 0);
        } else if (eio == 4 && c->state == POLL_OPEN) {
            c->state = POLL_NSP_POST;
            add_request(c, "40", 2, true);
        } else {
            c->state = POLL_NSP_GET;
            add_request(c, "", 0, false);
        }
    } else if (!c->in_flight || c->ping_due) {
        poll_post(c);
    } else {
        add_request(c, "", 0, false);
    }
}

/* ---- HTTP responses: the 101, and those of long-polling ---- */

static ssize_t http(struct conn *c, const char *start, size_t len) {
    const char *blank = memmem(start, len, "\r\n\r\n", 4);
    if (!blank) return 0;
    size_t head = (size_t)(blank + 4 - start);
    char lower[4096];
    if (head >= sizeof lower || len < 12) {
        fail(c, E_HTTP, "huge or short response head", start, len);
        return -1;
    }
    for (size_t i = 0; i < head; i++) lower[i] = start[i] >= 'A' && start[i] <= 'Z' ? (char)(start[i] | 32) : start[i];
    lower[head] = 0;
    int status = atoi(start + 9);
    if (c->state == UPGRADE) {
        if (status != 101 || !memmem(start, head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28)) {
            fail(c, E_HTTP, "upgrade refused", start, len);
            return -1;
        }
        c->state = OPEN;
        if (proto == WS) become_ready(c);
        return (ssize_t)head;
    }
    const char *body = start + head;
    size_t avail = len - head;
    char *length = strstr(lower, "\r\ncontent-length:");
    if (length) {
        size_t n = strtoul(length + 17, NULL, 10);
        if (avail < n) return 0;
        poll_response(c, status, body, n);
        return c->state == CLOSED ? -1 : (ssize_t)(head + n);
    }
    if (!strstr(lower, "\r\ntransfer-encoding: chunked")) {
        fail(c, E_HTTP, "response without length", start, len);
        return -1;
    }
    char *whole = need(malloc(avail + 1));
    size_t total = 0;
    const char *p = body, *end = body + avail;
    while (true) {
        const char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);
        size_t n = eol ? strtoul(p, NULL, 16) : 0;
        if (!eol || (size_t)(end - eol - 2) < n + 2) {
            free(whole);
            return 0;
        }
        memcpy(whole + total, eol + 2, n);
        total += n;
        p = eol + 2 + n + 2;
        if (!n) break;
    }
    poll_response(c, status, whole, total);
    free(whole);
    return c->state == CLOSED ? -1 : p - start;
}

/* ---- events ---- */

static void start_conn(struct conn *c) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &to.sin_addr);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket: %s (ulimit -n?)", strerror(errno));
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->state = TCP;
    c->want_write = true;
    c->attachment_due = c->ping_due = false;
    c->since = c->pinged = now;
    c->sid[0] = 0;
    if (scenario == CONNECT) c->slots[0].sent = now;
    setting_up++;
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
        /* not through fail(), which would start it again at once, for ever */
        count_error(c, E_CONNECT, strerror(errno), "", 0);
        drop(c);
        return;
    }
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) < 0) die("epoll_ctl: %s", strerror(errno));
}

static void connected(struct conn *c) {
    int err = 0;
    socklen_t len = sizeof err;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err) {
        count_error(c, E_CONNECT, strerror(err), "", 0);
        drop(c);
        return;
    }
    interest(c, false);
    if (proto == RAW) {
        /* the kernel completes a connection before the server has accepted it: wait for an echo */
        c->state = OPEN;
        add_frame(1, "hello", 5);
    } else if (scenario == POLLING) {
        c->state = POLL_OPEN;
        add_request(c, "", 0, false);
    } else {
        c->state = UPGRADE;
        add_upgrade();
    }
    flush(c);
}

static void readable(struct conn *c) {
    size_t have = c->in_len;
    if (have) memcpy(rbuf, c->in, have);
    if (rcap - have < 65536) {
        rcap *= 2;
        rbuf = need(realloc(rbuf, rcap));
    }
    ssize_t n = recv(c->fd, rbuf + have, rcap - have, 0);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN) return;
        if (c->state == CLOSING) finished_connect(c);
        else fail(c, E_CLOSED, n ? strerror(errno) : "end of stream", "", 0);
        return;
    }
    have += (size_t)n;
    size_t used = 0;
    while (used < have) {
        bool in_http = c->state == UPGRADE || c->state >= POLL_OPEN;
        ssize_t k = in_http ? http(c, rbuf + used, have - used) : frames(c, rbuf + used, have - used);
        if (k < 0) return;
        if (k == 0) break;
        used += (size_t)k;
        if (!in_http) break;
    }
    size_t left = have - used;
    if (left != c->in_len || left) {
        if (!left) {
            free(c->in);
            c->in = NULL;
        } else {
            c->in = need(realloc(c->in, left));
            memcpy(c->in, rbuf + used, left);
        }
        c->in_len = left;
    }
    if (c->state == READY) send_more(c);
    flush(c);
}

/* Once a second: connections that make no progress, and version 3's client-side pings. */
static void tick(void) {
    for (uint32_t i = 0; i < opened; i++) {
        struct conn *c = &conns[i];
        if (c->state == CLOSED) {
            if (scenario == CONNECT && !stopping) start_conn(c);
            continue;
        }
        bool waiting = c->state != READY || c->in_flight || (scenario == BROADCAST && casts_in_flight);
        if (running && waiting && (double)(now - c->since) > timeout_s * 1e9) {
            fail(c, E_TIMEOUT, "no answer", "", 0);
            continue;
        }
        if (eio == 3 && proto == SIO && (double)(now - c->pinged) > ping_interval * 1e9) {
            c->pinged = now;
            if (c->state == READY) {
                add_frame(1, "2", 1);
                flush(c);
            } else if (scenario == POLLING) {
                c->ping_due = true;
            }
        }
    }
}

static void loop_once(int wait_ms) {
    static struct epoll_event events[256];
    static uint64_t ticked;
    int n = epoll_wait(ep, events, 256, wait_ms);
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        now = clock_ns();
        wlen = 0;
        if (c->state == TCP) {
            connected(c);
            continue;
        }
        if (c->state != CLOSED && events[i].events & EPOLLOUT) writable(c);
        if (c->state != CLOSED && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
    }
    now = clock_ns();
    wlen = 0;
    if (scenario == BROADCAST && running && conns[0].state == READY) {
        /* after the whole batch, so that the next ones leave in one write */
        send_more(&conns[0]);
        flush(&conns[0]);
    }
    if (now - ticked > 1000000000u) {
        ticked = now;
        tick();
    }
}

static uint64_t total_errors(void) {
    uint64_t n = 0;
    for (int i = 0; i < ERRORS; i++) n += errors[i];
    return n;
}

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

static void run_until(double s) {
    uint64_t end = clock_ns() + (uint64_t)(s * 1e9);
    while (clock_ns() < end && !interrupted) {
        if (!ready && scenario != CONNECT) break; /* all are gone: nothing more can come */
        loop_once(20);
    }
}

static void prepare(void) {
    if (size < TAG + 1) die("--size must be at least %d", TAG + 1);
    if (scenario == POLLING && (depth != 1 || proto != SIO)) die("polling has a depth of 1, and only Socket.IO");
    filler = need(malloc(size));
    for (uint32_t i = 0; i < size; i++) {
        /* every byte value in an attachment; in text what needs no escape */
        filler[i] = scenario == BINARY ? (char)(i * 7 + 13) : "abcdefghijklmnopqrstuvwxyz0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ."[i % 64];
    }
    const char *event = scenario == BROADCAST ? "broadcast" : "echo";
    if (scenario == BINARY) strcpy(prefix, "451-[\"bin\",{\"_placeholder\":true,\"num\":0}]");
    else if (scenario == ACK) strcpy(prefix, "42");
    else snprintf(prefix, sizeof prefix, "42[\"%s\",\"", event);
    strcpy(reply_prefix, scenario == ACK && proto == SIO ? "43" : prefix);
    prefix_len = strlen(prefix);
    reply_prefix_len = strlen(reply_prefix);

    uint32_t slots = 1;
    while (slots < 2 * depth) slots *= 2; /* twice, so that one late reply does not stall the rest */
    slot_mask = slots - 1;
    if (scenario == BROADCAST) {
        casts = need(calloc(slots, sizeof *casts));
        cast_left = need(calloc(slots, sizeof *cast_left));
    }
    conns = need(calloc(n_conns, sizeof *conns));
    for (uint32_t i = 0; i < n_conns; i++) {
        conns[i].index = i;
        conns[i].fd = -1;
        if (scenario != BROADCAST && scenario != IDLE) conns[i].slots = need(calloc(slots, sizeof(struct slot)));
    }
    rcap = 1 << 20;
    rbuf = need(malloc(rcap));
    wcap = 1 << 16;
    wbuf = need(malloc(wcap));
}

static const char usage_text[] =
    "usage: loadgen --port N [options]\n"
    "  --host ADDR --port N    IPv4 address and port of the server (127.0.0.1)\n"
    "  --path PATH             Socket.IO path (/socket.io/)\n"
    "  --eio 3|4               Engine.IO protocol (4)\n"
    "  --proto sio|ws|raw      Socket.IO, bare WebSocket echo, or TCP echo (sio)\n"
    "  --scenario NAME         echo ack binary broadcast connect polling idle (echo)\n"
    "  --conns N               connections; connect: how many in parallel (100)\n"
    "  --depth N               messages in flight per connection; broadcast: in all (1)\n"
    "  --size N                payload bytes (32)\n"
    "  --warmup S --seconds S  seconds before and in the measured window (2, 5)\n"
    "  --pid N                 server process whose CPU and memory to sample; may be repeated\n"
    "  --ramp N                connections being opened at one time (64)\n"
    "  --timeout S             seconds without an answer that count as an error (10)\n";

static void options(int argc, char **argv) {
    static const struct option table[] = {
        {"host", 1, 0, 'h'},   {"port", 1, 0, 'p'},  {"path", 1, 0, 'P'},    {"eio", 1, 0, 'e'},  {"proto", 1, 0, 'o'},
        {"scenario", 1, 0, 's'}, {"conns", 1, 0, 'c'}, {"depth", 1, 0, 'd'},   {"size", 1, 0, 'z'}, {"warmup", 1, 0, 'w'},
        {"seconds", 1, 0, 'S'}, {"pid", 1, 0, 'i'},   {"timeout", 1, 0, 't'}, {"ramp", 1, 0, 'r'}, {"help", 0, 0, '?'}, {0, 0, 0, 0},
    };
    int o;
    while ((o = getopt_long(argc, argv, "", table, NULL)) != -1) {
        switch (o) {
        case 'h': host = optarg; break;
        case 'p': port = atoi(optarg); break;
        case 'P': path = optarg; break;
        case 'e': eio = atoi(optarg); break;
        case 'o': proto = !strcmp(optarg, "sio") ? SIO : !strcmp(optarg, "ws") ? WS : !strcmp(optarg, "raw") ? RAW : -1; break;
        case 's':
            for (scenario = 0; scenario < SCENARIOS && strcmp(optarg, scenario_names[scenario]); scenario++) {}
            break;
        case 'c': n_conns = (uint32_t)atoi(optarg); break;
        case 'd': depth = (uint32_t)atoi(optarg); break;
        case 'z': size = (uint32_t)atoi(optarg); break;
        case 'w': warmup_s = atof(optarg); break;
        case 'S': seconds = atof(optarg); break;
        case 't': timeout_s = atof(optarg); break;
        case 'r': ramp = (uint32_t)atoi(optarg); break;
        case 'i':
            if (n_pids < (int)(sizeof pids / sizeof *pids)) pids[n_pids++] = atoi(optarg);
            break;
        default: fputs(usage_text, stderr); exit(2);
        }
    }
    struct in_addr ignored;
    if (port < 1 || port > 65535 || (eio != 3 && eio != 4) || proto < 0 || scenario == SCENARIOS || !n_conns || n_conns > 0xffffff ||
        !depth || depth > 1 << 16 || size > 1 << 24 || !ramp || inet_pton(AF_INET, host, &ignored) != 1 || strlen(path) > 200) {
        fputs(usage_text, stderr);
        exit(2);
    }
}

int main(int argc, char **argv) {
    options(argc, argv);
    prepare();
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    ep = epoll_create1(EPOLL_CLOEXEC);
    now = clock_ns();

    struct usage start = server_usage();
    uint64_t began = now;
    if (scenario == CONNECT) {
        running = true;
        for (; opened < n_conns; opened++) start_conn(&conns[opened]);
    } else {
        uint64_t last = now;
        uint32_t seen = 0;
        while (ready < n_conns && !interrupted) {
            while (opened < n_conns && setting_up < ramp) start_conn(&conns[opened++]);
            loop_once(20);
            if (ready != seen) {
                seen = ready;
                last = now;
            }
            if (total_errors() || (double)(now - last) > timeout_s * 1e9) {
                fprintf(stderr, "loadgen: %u of %u connections; %s\n", ready, n_conns, first_error[0] ? first_error : "no answer");
                return 1;
            }
        }
        running = true;
        for (uint32_t i = 0; i < n_conns; i++) {
            now = clock_ns();
            conns[i].since = now;
            wlen = 0;
            if (conns[i].state == READY) send_more(&conns[i]);
            else if (conns[i].state == POLL_POST) poll_post(&conns[i]);
            flush(&conns[i]);
        }
    }
    double ramp_seconds = (double)(now - began) / 1e9;
    run_until(warmup_s);

    struct usage before = server_usage();
    double own = own_cpu();
    uint64_t count = messages, t0 = clock_ns();
    measuring = true;
    run_until(seconds);
    measuring = false;
    double wall = (double)(clock_ns() - t0) / 1e9;
    count = messages - count;
    own = own_cpu() - own;
    struct usage after = server_usage();
    if (!count && scenario != IDLE && !interrupted && !total_errors())
        count_error(&conns[0], E_TIMEOUT, "no message in the measured window", "", 0);
    stopping = true;
    uint32_t alive = ready;

    double cpu = after.cpu - before.cpu, ticks = (after.user - before.user) + (after.system - before.system);
    printf("{\"scenario\":\"%s\",\"proto\":\"%s\",\"eio\":%d,\"conns\":%u,\"depth\":%u,\"size\":%u,", scenario_names[scenario],
           proto == SIO ? "sio" : proto == WS ? "ws" : "raw", eio, n_conns, depth, size);
    printf("\"messages\":%llu,\"seconds\":%.4f,\"per_second\":%.1f,", (unsigned long long)count, wall, (double)count / wall);
    printf("\"cpu_us_per_message\":%.4f,\"cpu_share\":%.4f,\"cpu_seconds\":%.6f,", count ? cpu * 1e6 / (double)count : 0.0, cpu / wall,
           cpu);
    printf("\"cpu_seconds_by_ticks\":%.2f,\"cpu_system_part\":%.3f,", ticks,
           ticks > 0 ? (after.system - before.system) / ticks : 0.0);
    printf("\"own_cpu_share\":%.4f,\"own_us_per_message\":%.4f,", own / wall, count ? own * 1e6 / (double)count : 0.0);
    printf("\"latency_us\":{\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f},", percentile(.5), percentile(.99), percentile(.999));
    printf("\"ramp_seconds\":%.3f,\"rss_start\":%ld,\"rss_begin\":%ld,\"rss_end\":%ld,", ramp_seconds, start.rss, before.rss, after.rss);
    if (scenario == IDLE && alive) printf("\"rss_per_conn\":%.1f,", (double)(after.rss - start.rss) / alive);
    printf("\"alive\":%u,\"errors\":%llu", alive, (unsigned long long)total_errors());
    for (int i = 0, shown = 0; i < ERRORS; i++) {
        if (errors[i]) printf("%s\"%s\":%llu", shown++ ? "," : ",\"errors_by_kind\":{", error_names[i], (unsigned long long)errors[i]);
    }
    if (total_errors()) printf("},\"first_error\":\"%s\"", first_error);
    puts("}");
    return total_errors() ? 1 : 0;
}
