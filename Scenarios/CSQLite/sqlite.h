/* SPDX-License-Identifier: Apache-2.0
 *
 * SQLite as the system has it (libsqlite3-dev).
 */
#include <sqlite3.h>
