/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-inet.c - addresses and networks, against RFC 4291, RFC 5952 and each other's borders. */
#include "inet.h"

#include <arpa/inet.h>

static InetAddress
parse(const char *text)
{
    InetAddress address;

    g_assert_true(inet_address_parse(text, &address));
    return address;
}

static void
test_text(void)
{
    static const struct {
        const char *text, *shown;
        int family;
    } cases[] = {
        { "192.0.2.7", "192.0.2.7", AF_INET },
        { "::", "::", AF_INET6 },
        { "2001:DB8:0:0:0:0:0:1", "2001:db8::1", AF_INET6 },
        { "::ffff:192.0.2.7", "192.0.2.7", AF_INET },
        { "::fffe:192.0.2.7", "::fffe:c000:207", AF_INET6 },
    };
    static const char *const wrong[] = { "",    "10.1",  "192.0.2.256", "192.0.2.7 ",
                                         "::g", "[::1]", "localhost",   "1:2:3:4:5:6:7" };
    InetAddress address;

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *shown = NULL;

        address = parse(cases[i].text);
        shown = inet_address_to_string(&address);
        g_assert_cmpint(address.family, ==, cases[i].family);
        g_assert_cmpstr(shown, ==, cases[i].shown);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
        g_assert_false(inet_address_parse(wrong[i], &address));
}

static void
assert_kind(const char *text, gboolean any, gboolean loopback, gboolean link_local)
{
    InetAddress address = parse(text);

    g_assert_cmpint(inet_address_is_any(&address), ==, any);
    g_assert_cmpint(inet_address_is_loopback(&address), ==, loopback);
    g_assert_cmpint(inet_address_is_link_local(&address), ==, link_local);
}

static void
test_kinds(void)
{
    assert_kind("0.0.0.0", TRUE, FALSE, FALSE);
    assert_kind("::", TRUE, FALSE, FALSE);
    assert_kind("0.0.0.1", FALSE, FALSE, FALSE);
    assert_kind("127.255.255.255", FALSE, TRUE, FALSE);
    assert_kind("128.0.0.0", FALSE, FALSE, FALSE);
    assert_kind("::1", FALSE, TRUE, FALSE);
    assert_kind("::ffff:127.0.0.1", FALSE, TRUE, FALSE);
    assert_kind("::2", FALSE, FALSE, FALSE);
    assert_kind("169.254.0.0", FALSE, FALSE, TRUE);
    assert_kind("169.255.0.0", FALSE, FALSE, FALSE);
    assert_kind("fe80::1", FALSE, FALSE, TRUE);
    assert_kind("febf::", FALSE, FALSE, TRUE);
    assert_kind("fec0::", FALSE, FALSE, FALSE);
}

static gboolean
net_has(const char *text, const char *address_text)
{
    InetAddress address = parse(address_text);
    InetNet net;

    g_assert_cmpstr(inet_net_parse(text, &net), ==, NULL);
    return inet_net_has(&net, &address);
}

/* The last address that belongs to it, and the first that does not. */
static void
test_borders(void)
{
    g_assert_true(net_has("10.0.0.0/9", "10.127.255.255"));
    g_assert_false(net_has("10.0.0.0/9", "10.128.0.0"));
    g_assert_true(net_has("192.0.2.128/25", "192.0.2.128"));
    g_assert_false(net_has("192.0.2.128/25", "192.0.2.127"));
    g_assert_true(net_has("192.0.2.6/31", "192.0.2.7"));
    g_assert_false(net_has("192.0.2.6/31", "192.0.2.8"));
    g_assert_true(net_has("192.0.2.7/32", "192.0.2.7"));
    g_assert_false(net_has("192.0.2.7/32", "192.0.2.6"));
    g_assert_true(net_has("2001:db8::/33", "2001:db8:7fff:ffff::"));
    g_assert_false(net_has("2001:db8::/33", "2001:db8:8000::"));
    g_assert_true(net_has("::1/128", "::1"));
    g_assert_false(net_has("::1/128", "::"));
    g_assert_true(net_has("::/0", "2001:db8::1"));
    g_assert_false(net_has("::/0", "192.0.2.7"));
    g_assert_false(net_has("0.0.0.0/0", "::"));
}

static void
test_clothes(void)
{
    g_assert_true(net_has("::ffff:192.0.2.0/120", "192.0.2.255"));
    g_assert_false(net_has("::ffff:192.0.2.0/120", "192.0.3.0"));
    g_assert_true(net_has("::ffff:0.0.0.0/96", "203.0.113.1"));
    g_assert_true(net_has("::ffff:192.0.2.7", "::ffff:192.0.2.7"));
}

static void
test_wrong_nets(void)
{
    static const char *const wrong[] = {
        "",          "/8",           "192.0.2.0/", "192.0.2.0/33", "192.0.2.0/-1",  "192.0.2.0/8x",
        "::/129",    "192.0.2.1/24", "::1/127",    "10.1/8",       "192.0.2.0/8/8", "::ffff:0:1/96",
        "host.name",
    };
    InetNet net;

    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
        g_assert_nonnull(inet_net_parse(wrong[i], &net));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/inet/text", test_text);
    g_test_add_func("/inet/kinds", test_kinds);
    g_test_add_func("/inet/borders", test_borders);
    g_test_add_func("/inet/clothes", test_clothes);
    g_test_add_func("/inet/wrong-nets", test_wrong_nets);
    return g_test_run();
}
