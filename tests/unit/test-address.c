/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-address.c - every form of an address to listen on, and every way to get it wrong. */
#include "listen/address.h"

#include <string.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h>

static StrataAddress *
parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    StrataAddress *address = strata_address_parse(text, &error);

    g_assert_no_error(error);
    g_assert_nonnull(address);
    return address;
}

static void
test_unix(void)
{
    /* All that follows is the path: no character divides it, and none makes it abstract. */
    static const char *const paths[] = { "/run/s", "s", "a,mode=0600", "@s", "a:b", " " };

    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *text = g_strconcat("unix:", paths[i], NULL);
        g_autoptr(StrataAddress) address = parse(text);

        g_assert_cmpint(address->kind, ==, ADDRESS_UNIX);
        g_assert_cmpstr(address->path, ==, paths[i]);
    }
}

static void
test_tcp(void)
{
    static const struct {
        const char *text, *host, *port;
    } rows[] = {
        { "tcp:10810", NULL, "10810" },
        { "tcp::0", NULL, "0" },
        { "tcp::nbd", NULL, "nbd" },
        { "tcp:localhost:nbd", "localhost", "nbd" },
        { "tcp:192.0.2.1:1", "192.0.2.1", "1" },
        { "tcp:[::1]:10809", "::1", "10809" },
        { "tcp:[fe80::1%eth0]:0", "fe80::1%eth0", "0" },
        { "tcp:[localhost]:1", "localhost", "1" },
        { "tcp:[]:1", "", "1" }, /* refused when it is listened on */
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(StrataAddress) address = parse(rows[i].text);

        g_assert_cmpint(address->kind, ==, ADDRESS_TCP);
        g_assert_cmpstr(address->host, ==, rows[i].host);
        g_assert_cmpstr(address->port, ==, rows[i].port);
    }
}

static void
test_vsock(void)
{
    static const struct {
        const char *text;
        guint32 cid, port;
    } rows[] = {
        { "vsock:10809", VMADDR_CID_ANY, 10809 },
        { "vsock::10809", VMADDR_CID_ANY, 10809 },
        { "vsock:2:1", 2, 1 },
        { "vsock:3:0", 3, VMADDR_PORT_ANY },
        { "vsock:4294967294:4294967294", 4294967294, 4294967294 },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(StrataAddress) address = parse(rows[i].text);

        g_assert_cmpint(address->kind, ==, ADDRESS_VSOCK);
        g_assert_cmpuint(address->cid, ==, rows[i].cid);
        g_assert_cmpuint(address->slot, ==, rows[i].port);
    }
}

static void
test_refused(void)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "", "'' is neither unix:PATH nor tcp:[HOST:]PORT nor vsock:[CID:]PORT*" },
        { "/run/s", "'/run/s' is neither *" },
        { "UNIX:/run/s", "'UNIX:/run/s' is neither *" },
        { "a\nb", "'a\\nb' is neither *" },
        { "unix:", "'unix:' needs the path of a socket*" },
        { "tcp:", "'tcp:' names no port*" },
        { "tcp:localhost", "'tcp:localhost' names no port*" },
        { "tcp:localhost:", "'tcp:localhost:' names no port*" },
        { "tcp:[::1]", "'tcp:[::1]' names no port*" },
        { "tcp:::1:10809", "'tcp:::1:10809' has an IPv6 address without brackets*" },
        { "vsock:", "'vsock:' names no port*" },
        { "vsock:2", NULL },
        { "vsock:2:", "'vsock:2:' names no port*" },
        { "vsock:nbd", "'vsock:nbd' names no port*" },
        { "vsock:2:3:4", "'vsock:2:3:4' names no port*" },
        { "vsock:host:1", "'vsock:host:1' has no CID*" },
        { "vsock:-1:1", "'vsock:-1:1' has no CID*" },
        { "vsock:4294967295:1", "'vsock:4294967295:1' has no CID*" },
        { "vsock:4294967295", "'vsock:4294967295' names no port*" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(StrataAddress) address = strata_address_parse(rows[i].text, &error);

        if (rows[i].message == NULL) {
            g_assert_no_error(error);
            continue;
        }
        g_assert_null(address);
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_SPEC);
        if (!g_pattern_match_simple(rows[i].message, error->message))
            g_error("'%s' does not match '%s'", error->message, rows[i].message);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/address/unix", test_unix);
    g_test_add_func("/address/tcp", test_tcp);
    g_test_add_func("/address/vsock", test_vsock);
    g_test_add_func("/address/refused", test_refused);
    return g_test_run();
}
