/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-access.c - which peers an access rule is about, and what is said of a rule that is none. */
#include "exports/access.h"

#include <strata/strata.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static gboolean
admits(const char *word, const Peer *peer)
{
    const char *words[] = { word, NULL };
    g_autoptr(GError) error = NULL;
    g_autoptr(AccessRules) rules = access_rules_new(words, &error);

    g_assert_no_error(error);
    return access_rules_admit(rules, peer);
}

static void
assert_refused(const char *word, const char *why)
{
    const char *words[] = { "any", word, NULL };
    g_autoptr(GError) error = NULL;

    g_assert_null(access_rules_new(words, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_SPEC);
    if (strstr(error->message, why) == NULL)
        g_error("'%s' is refused by \"%s\", without \"%s\"", word, error->message, why);
}

static void
test_anybody(void)
{
    const Peer stranger = { .kind = PEER_OTHER, .uid = (uid_t)-1 };
    const char *words[] = { "user=0", "net=10.0.0.0/8", NULL };
    g_autoptr(AccessRules) rules = access_rules_new(words, NULL);

    g_assert_true(admits("any", &stranger));
    g_assert_true(access_rules_admit(NULL, &stranger));
    g_assert_true(access_rules_admit(rules, NULL));
    g_assert_false(access_rules_admit(rules, &stranger));
}

static void
test_one_is_enough(void)
{
    const Peer peer = { .kind = PEER_UNIX, .uid = 7 };
    const char *words[] = { "psk=guest", "user=7", "tls", NULL };
    g_autoptr(AccessRules) rules = access_rules_new(words, NULL);

    g_assert_true(access_rules_admit(rules, &peer));
}

static gboolean
admits_address(const char *word, const char *address)
{
    Peer peer = { .kind = PEER_TCP, .uid = (uid_t)-1 };

    g_assert_true(inet_address_parse(address, &peer.inet));
    return admits(word, &peer);
}

static void
test_networks(void)
{
    const Peer local = { .kind = PEER_UNIX };

    g_assert_true(admits_address("net=192.0.2.7", "192.0.2.7"));
    g_assert_false(admits_address("net=192.0.2.7", "192.0.2.8"));
    g_assert_true(admits_address("net=192.0.2.0/24", "192.0.2.255"));
    g_assert_false(admits_address("net=192.0.2.0/24", "192.0.3.0"));
    g_assert_true(admits_address("net=2001:db8::/32", "2001:db8:ffff::1"));
    g_assert_false(admits_address("net=2001:db8::/32", "2001:db9::1"));
    g_assert_true(admits_address("net=::ffff:192.0.2.0/120", "192.0.2.9"));
    g_assert_false(admits_address("net=::ffff:192.0.2.0/120", "192.0.3.9"));
    g_assert_true(admits_address("net=0.0.0.0/0", "203.0.113.1"));
    g_assert_false(admits_address("net=0.0.0.0/0", "2001:db8::1"));
    g_assert_false(admits_address("net=::/0", "203.0.113.1"));
    g_assert_false(admits("net=0.0.0.0/0", &local));
}

static void
test_users(void)
{
    gid_t groups[] = { 100, 27 };
    const Peer peer = { .kind = PEER_UNIX, .uid = 0, .groups = groups, .n_groups = 2 };
    const Peer unknown = { .kind = PEER_UNIX, .uid = (uid_t)-1 };
    const Peer tcp = { .kind = PEER_TCP, .uid = 0, .groups = groups, .n_groups = 2 };

    g_assert_true(admits("user=0", &peer));
    g_assert_true(admits("user=root", &peer));
    g_assert_false(admits("user=1", &peer));
    g_assert_true(admits("group=100", &peer));
    g_assert_true(admits("group=27", &peer));
    g_assert_false(admits("group=0", &peer));
    g_assert_false(admits("user=4294967294", &unknown));
    g_assert_false(admits("user=0", &tcp));
    g_assert_false(admits("group=27", &tcp));
}

static void
test_machines(void)
{
    const Peer guest = { .kind = PEER_VSOCK, .cid = 3, .uid = (uid_t)-1 };
    const Peer tcp = { .kind = PEER_TCP, .cid = 3 };

    g_assert_true(admits("cid=3", &guest));
    g_assert_false(admits("cid=4", &guest));
    g_assert_false(admits("cid=3", &tcp));
}

static void
test_certificates(void)
{
    char *names[] = { (char *)"DNS:Backup.Example.org", (char *)"IP:192.0.2.7",
                      (char *)"URI:spiffe://example.org/Vm", NULL };
    const Peer peer = { .kind = PEER_TCP,
                        .is_encrypted = TRUE,
                        .subject = (char *)"CN=backup,O=Example\\, Inc.",
                        .names = names };
    const Peer bare = { .kind = PEER_TCP, .is_encrypted = TRUE };

    g_assert_true(admits("tls", &peer));
    g_assert_true(admits("dn=CN=backup,O=Example\\, Inc.", &peer));
    g_assert_true(admits("dn=CN=backup,*", &peer));
    g_assert_false(admits("dn=CN=backup", &peer));
    g_assert_false(admits("dn=O=Example*", &peer));
    g_assert_true(admits("san=DNS:backup.example.ORG", &peer));
    g_assert_true(admits("san=DNS:*.example.org", &peer));
    g_assert_false(admits("san=DNS:*.example.com", &peer));
    g_assert_true(admits("san=IP:192.0.2.7", &peer));
    g_assert_false(admits("san=URI:spiffe://example.org/vm", &peer));
    g_assert_true(admits("san=URI:spiffe://example.org/*", &peer));
    g_assert_true(admits("tls", &bare));
    g_assert_false(admits("dn=*", &bare));
    g_assert_false(admits("san=DNS:*", &bare));
    g_assert_false(admits("psk=x", &bare));
}

static void
test_keys(void)
{
    const Peer peer = { .kind = PEER_TCP, .is_encrypted = TRUE, .psk_identity = (char *)"al*ce" };

    g_assert_true(admits("psk=al*ce", &peer));
    g_assert_false(admits("psk=al*", &peer));
    g_assert_false(admits("dn=*", &peer));
}

static void
test_refused(void)
{
    g_autoptr(GError) error = NULL;

    assert_refused("", "there is no access rule ''");
    assert_refused("anyone", "there is no access rule 'anyone'; there are any, tls");
    assert_refused("any=1", "no access rule 'any=1'");
    assert_refused("user\n=1", "'user\\n=1'");
    assert_refused("user=", "'user=': user= needs the name or number of a user");
    assert_refused("user=no such user",
                   "user= needs the name or number of a user: there is no user 'no such user'");
    assert_refused("user=4294967295", "there is no user '4294967295'");
    assert_refused("user=-1", "there is no user '-1'");
    assert_refused("group=no such group", "there is no group 'no such group'");
    assert_refused("cid=host", "cid= needs the number of a virtual machine");
    assert_refused("net=192.0.2.1/24", "net= needs an address");
    assert_refused("net=example.org", "net= needs an address");
    assert_refused("net=192.0.2.0/33", "net= needs an address");
    assert_refused("san=example.org", "san= needs DNS:NAME");
    assert_refused("san=DNS:", "san= needs DNS:NAME");
    assert_refused("dn=\xff", "not UTF-8");
    g_assert_null(access_rules_new(NULL, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_SPEC);
}

/* A connection to ourselves, by a name that the kernel chooses. */
static void
connect_to_ourselves(int fds[3])
{
    union {
        struct sockaddr any;
        struct sockaddr_un local;
    } address = { .any = { .sa_family = AF_UNIX } };
    socklen_t length = sizeof address;

    fds[0] = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(bind(fds[0], &address.any, sizeof address.any.sa_family), ==, 0);
    g_assert_cmpint(listen(fds[0], 1), ==, 0);
    g_assert_cmpint(getsockname(fds[0], &address.any, &length), ==, 0);
    fds[1] = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(connect(fds[1], &address.any, length), ==, 0);
    fds[2] = accept(fds[0], NULL, NULL);
    g_assert_cmpint(fds[2], >=, 0);
}

/* What the system says of ourselves is what rules about users and groups are asked with. */
static void
test_peer_of_a_socket(void)
{
    g_autofree char *user = g_strdup_printf("user=%u", getuid());
    g_autofree char *group = g_strdup_printf("group=%u", getgid());
    int fds[3];
    Peer peer;

    connect_to_ourselves(fds);
    peer_init(&peer, fds[2]);
    g_assert_true(admits(user, &peer));
    g_assert_true(admits(group, &peer));
    g_assert_cmpuint(peer.n_groups, ==, 1 + getgroups(0, NULL));
    peer_clear(&peer);
    for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
        close(fds[i]);
}

static void
test_about_identity(void)
{
    g_assert_true(access_word_is_about_identity("dn=x"));
    g_assert_true(access_word_is_about_identity("san=DNS:x"));
    g_assert_true(access_word_is_about_identity("psk=x"));
    g_assert_false(access_word_is_about_identity("tls"));
    g_assert_false(access_word_is_about_identity("net=::1"));
    g_assert_false(access_word_is_about_identity("what"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/access/anybody", test_anybody);
    g_test_add_func("/access/one-is-enough", test_one_is_enough);
    g_test_add_func("/access/networks", test_networks);
    g_test_add_func("/access/users", test_users);
    g_test_add_func("/access/machines", test_machines);
    g_test_add_func("/access/certificates", test_certificates);
    g_test_add_func("/access/keys", test_keys);
    g_test_add_func("/access/refused", test_refused);
    g_test_add_func("/access/peer-of-a-socket", test_peer_of_a_socket);
    g_test_add_func("/access/about-identity", test_about_identity);
    return g_test_run();
}
