/*
 * Floor in C: floor PORT. An epoll loop that sends back what it reads, and, on a broadcast event in an unmasked
 * frame, loops send() over all connections, one send for all that arrived in one read.
 * Nothing of the protocol is done, so this is the kernel's share of the work.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX = 65536 };
static int fds[MAX], n_fds;
static int place[MAX]; /* fd -> index in fds */

static void send_all(int fd, const char *p, size_t len) {
    while (len) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n < 0) return; /* blocking socket: only when the peer is gone */
        p += n;
        len -= (size_t)n;
    }
}

int main(int argc, char **argv) {
    static char buf[1 << 20];
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ep = epoll_create1(0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (argc != 2) return 2;
    at.sin_port = htons((unsigned short)atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 2048) < 0) {
        perror("floor");
        return 1;
    }
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(ep, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                if (fd < 0) continue;
                if (fd >= MAX) {
                    close(fd);
                    continue;
                }
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                e.data.fd = fd;
                epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
                place[fd] = n_fds;
                fds[n_fds++] = fd;
                continue;
            }
            ssize_t len = recv(fd, buf, sizeof buf, 0);
            if (len <= 0) {
                close(fd);
                fds[place[fd]] = fds[--n_fds];
                place[fds[place[fd]]] = place[fd];
                continue;
            }
            char *event = len > 24 ? memmem(buf, 24, "42[\"broadcast\"", 14) : NULL;
            if (event) {
                for (int k = 0; k < n_fds; k++) send_all(fds[k], buf, (size_t)len);
            } else {
                send_all(fd, buf, (size_t)len);
            }
        }
    }
}
