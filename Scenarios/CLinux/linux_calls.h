/* SPDX-License-Identifier: Apache-2.0
 *
 * What Swift's Glibc module leaves out.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/* Hidden in the system's headers without _GNU_SOURCE. */
int accept4(int descriptor, struct sockaddr *address, socklen_t *size, int flags);
int pipe2(int descriptors[2], int flags);
