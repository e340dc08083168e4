/* SPDX-License-Identifier: Apache-2.0
 *
 * libpq as the system has it (libpq-dev).
 */
#include <libpq-fe.h>
