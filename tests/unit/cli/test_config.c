#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cli/config.h"
#include "support/check.h"

static struct och_mem mem;
static struct och_arena arena;

static ochre_status
parse(const char *text, struct och_config *config, struct ochre_error *err)
{
    *config = och_config_defaults();
    return och_config_parse(config, &arena, "c.yaml", text, strlen(text), err);
}

static int
set_up(void **state)
{
    (void) state;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    return 0;
}

static int
tear_down(void **state)
{
    (void) state;
    och_arena_clear(&arena);
    return och_mem_used(&mem) == 0 ? 0 : -1;
}

static void
an_empty_file_leaves_the_defaults(void **state)
{
    static const char *const texts[] = {"", "# nothing\n", "---\n", "null\n", "{}", "~"};
    (void) state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct och_config config;
        struct ochre_error err;
        check_ok(parse(texts[i], &config, &err), &err);
        check(strcmp(config.host, "localhost") == 0 && config.port == 8000);
        check(strcmp(config.path, "./ochre-data") == 0);
        check(config.body_size_max == OCH_BODY_SIZE_MAX && !config.allow_reset);
        check(config.origins.n == 0 && config.ignored.n == 0 && !config.insecure_no_auth);
        check(config.user == NULL && config.sandbox && !config.core_dumps);
    }
}

static void
every_setting_is_read(void **state)
{
    struct och_config config;
    struct ochre_error err;
    (void) state;
    check_ok(parse("port: 9000\n"
                   "listen_address: \"0.0.0.0\"\n"
                   "persist_path: ./my data\n"
                   "max_payload_size_bytes: 1048576\n"
                   "cors_allow_origins: [\"*\", 'https://a.example']\n"
                   "allow_reset: true\n"
                   "backup_dir: /var/backups/ochre\n"
                   "archive: /var/archive\n"
                   "archive_seconds: 5\n"
                   "allowed_hosts:\n  - db.example\n"
                   "insecure_no_auth: True\n"
                   "user: ochre\nsandbox: false\ncore_dumps: true\n"
                   "io_threads: 3\nthreads: 0\n"
                   "memory_limit: 3G\n"
                   "log_level: debug\n",
                     &config, &err),
            &err);
    check(config.port == 9000 && strcmp(config.host, "0.0.0.0") == 0);
    check(strcmp(config.path, "./my data") == 0 && config.body_size_max == 1048576);
    check(config.origins.n == 2 && strcmp(config.origins.texts[0], "*") == 0);
    check(strcmp(config.origins.texts[1], "https://a.example") == 0);
    check(strcmp(config.backup_dir, "/var/backups/ochre") == 0);
    check(strcmp(config.archive, "/var/archive") == 0 && config.archive_seconds == 5);
    check(config.allow_reset && config.insecure_no_auth && config.log_level == OCH_LOG_DEBUG);
    check(config.hosts.n == 1 && strcmp(config.hosts.texts[0], "db.example") == 0);
    check(strcmp(config.user, "ochre") == 0 && !config.sandbox && config.core_dumps);
    check(config.n_io_threads == 3 && config.n_threads == 0);
    check(config.memory_limit == (size_t) 3 << 30);
}

static void
keys_of_the_other_server_are_accepted_and_named(void **state)
{
    struct och_config config;
    struct ochre_error err;
    (void) state;
    check_ok(parse("open_telemetry:\n  service_name: x\n  endpoint: \"http://y\"\n"
                   "  filters: [{crate_name: a, filter_level: trace}]\n"
                   "sqlitedb: {hash_type: md5, migration_mode: apply}\n"
                   "sysdb:\n  sqlite: {log_topic_namespace: default}\n"
                   "enable_schema: false\nlog: [1, [2, {a: b}]]\nport: 1\n",
                     &config, &err),
            &err);
    static const char *const wanted[] = {
            "open_telemetry", "sqlitedb", "sysdb", "enable_schema", "log"};
    check(config.ignored.n == 5 && config.port == 1);
    for (size_t i = 0; i < 5; i++)
        check(strcmp(config.ignored.texts[i], wanted[i]) == 0);
}

static void
mistakes_are_told_with_their_place(void **state)
{
    static const char *const rows[][2] = {
            {"prot: 1", "c.yaml:1:1: unknown key \"prot\"; did you mean \"port\"?"},
            {"port: 1\nlisten_adress: x",
                    "c.yaml:2:1: unknown key \"listen_adress\"; did you mean \"listen_address\"?"},
            {"something: 1", "c.yaml:1:1: unknown key \"something\""},
            {"port: \"8000\"", "c.yaml:1:7: port must be a whole number from 0 to 65535"},
            {"port: 65536", "c.yaml:1:7: port must be a whole number from 0 to 65535"},
            {"port: -1", "c.yaml:1:7: port must be a whole number from 0 to 65535"},
            {"port: 8e3", "c.yaml:1:7: port must be a whole number from 0 to 65535"},
            {"port:", "c.yaml:1:6: port must be a whole number from 0 to 65535"},
            {"port: [1]", "c.yaml:1:7: port must be a whole number from 0 to 65535"},
            {"allow_reset: yes", "c.yaml:1:14: allow_reset must be true or false"},
            {"sandbox: off", "c.yaml:1:10: sandbox must be true or false"},
            {"user: [a]", "c.yaml:1:7: user must be a text"},
            {"allow_reset: 'true'", "c.yaml:1:14: allow_reset must be true or false"},
            {"persist_path: ''", "c.yaml:1:15: persist_path must be a text"},
            {"persist_path: {a: b}", "c.yaml:1:15: persist_path must be a text"},
            {"persist_path: \"a\\0b\"", "c.yaml:1:15: persist_path must be a text"},
            {"cors_allow_origins: '*'", "c.yaml:1:21: cors_allow_origins must be a list of texts"},
            {"cors_allow_origins: [[a]]", "c.yaml:1:22: cors_allow_origins must be a text"},
            {"max_payload_size_bytes: 0",
                    "c.yaml:1:25: max_payload_size_bytes must be a whole "
                    "number from 1 to 268435456"},
            {"memory_limit: 15M",
                    "c.yaml:1:15: memory_limit must be a whole number of bytes, or of K, M or G, "
                    "from 16M to 1048576G"},
            {"memory_limit: 4GB",
                    "c.yaml:1:15: memory_limit must be a whole number of bytes, or of K, M or G, "
                    "from 16M to 1048576G"},
            {"memory_limit: [1G]",
                    "c.yaml:1:15: memory_limit must be a whole number of bytes, or of K, M or G, "
                    "from 16M to 1048576G"},
            {"log_level: loud", "c.yaml:1:12: log_level must be error, warn, info or debug"},
            {"port: 1\nport: 2", "c.yaml:2:1: port must be given once"},
            {"- port", "c.yaml:1:1: the file must be a mapping of settings"},
            {"text", "c.yaml:1:1: the file must be a mapping of settings"},
            {"port: 1\n---\nport: 2", "c.yaml:2:1: the file must be one document"},
            {"open_telemetry: x", "c.yaml:1:17: open_telemetry must be a mapping"},
            {"open_telemetry: {endpont: x}",
                    "c.yaml:1:18: unknown key \"endpont\" in open_telemetry; did you mean "
                    "\"endpoint\"?"},
            {"[a]: b", "c.yaml:1:1: a key must be a text"},
            {"sysdb: &a x\nlog: *a",
                    "c.yaml:2:6: log must be written out: aliases are not understood"},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct och_config config;
        struct ochre_error err;
        check(parse(rows[i][0], &config, &err) == OCHRE_INVALID);
        if (strcmp(err.message, rows[i][1]) != 0)
            print_error("%s\n%s\n", err.message, rows[i][1]);
        check(strcmp(err.message, rows[i][1]) == 0);
    }
}

static void
broken_yaml_is_told_with_its_place(void **state)
{
    static const char *const texts[] = {"a: b: c", "port: [1", "\tport: 1", "port: \"x", "}",
            "\xff\xff", "%YAML 9.9\n---\n", "a: \x01"};
    (void) state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct och_config config;
        struct ochre_error err;
        check(parse(texts[i], &config, &err) == OCHRE_INVALID);
        check(strncmp(err.message, "c.yaml:", 7) == 0);
    }
}

static void
deep_nesting_is_refused(void **state)
{
    char text[400] = "sysdb: ";
    struct och_config config;
    struct ochre_error err;
    (void) state;
    memset(text + 7, '[', 100);
    memset(text + 107, ']', 100);
    check(parse(text, &config, &err) == OCHRE_INVALID);
    check(strstr(err.message, "sysdb must be nested less deeply") != NULL);
}

static void
a_file_is_read_or_its_absence_told(void **state)
{
    char path[] = "/tmp/ochre-config-XXXXXX";
    struct och_config config = och_config_defaults();
    struct ochre_error err;
    (void) state;
    int fd = mkstemp(path);
    check(fd >= 0);
    FILE *stream = fdopen(fd, "w");
    check(stream != NULL && fputs("port: 77\n", stream) >= 0 && fclose(stream) == 0);
    check_ok(och_config_read(&config, &arena, path, &err), &err);
    check(config.port == 77);
    check(remove(path) == 0);
    check(och_config_read(&config, &arena, path, &err) == OCHRE_NOT_FOUND);
    check(strstr(err.message, path) != NULL);
    check(och_config_read(&config, &arena, "/", &err) == OCHRE_IO);
}

static void
ports_and_levels_are_read_strictly(void **state)
{
    uint16_t port;
    och_log_level level;
    (void) state;
    check(och_config_port("0", &port) && port == 0);
    check(och_config_port("65535", &port) && port == 65535);
    check(!och_config_port("65536", &port) && !och_config_port("", &port));
    check(!och_config_port("80 ", &port) && !och_config_port("0x50", &port));
    check(!och_config_port("99999999999999999999", &port));
    check(och_config_log_level("warn", &level) && level == OCH_LOG_WARN);
    check(!och_config_log_level("WARN", &level));
}

static void
memory_is_read_in_bytes_and_their_multiples(void **state)
{
    static const struct {
        const char *text;
        uint64_t size; /* 0: refused */
    } cases[] = {{"16777216", 16 << 20}, {"16777215", 0}, {"16384K", 16 << 20}, {"16383K", 0},
            {"16M", 16 << 20}, {"15M", 0}, {"1G", 1 << 30}, {"1048576G", UINT64_C(1) << 50},
            {"1048577G", 0}, {"1125899906842624", UINT64_C(1) << 50}, {"1125899906842625", 0},
            {"18446744073709551616", 0}, {"99999999999999999999999999M", 0}, {"", 0}, {"G", 0},
            {"1g", 0}, {"1 G", 0}, {" 1G", 0}, {"1GB", 0}, {"1GG", 0}, {"-1G", 0}, {"1.5G", 0},
            {"0", 0}, {"0x10000000", 0}};
    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size = 1;
        bool valid = och_config_memory(cases[i].text, &size);
        if (valid != (cases[i].size > 0) || size != cases[i].size)
            print_error("%s\n", cases[i].text);
        check(valid == (cases[i].size > 0) && size == cases[i].size);
    }
}

static void
loopback_is_told_from_what_others_can_reach(void **state)
{
    static const char *const own[] = {"localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1"};
    static const char *const open[] = {
            "0.0.0.0", "::", "10.0.0.1", "example.com", "", "127.1", "localhost.example.com"};
    (void) state;
    check(och_config_is_loopback(NULL));
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        check(och_config_is_loopback(own[i]));
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
        check(!och_config_is_loopback(open[i]));
}

static bool
parse_with(struct och_mem *account)
{
    static const char text[] = "persist_path: a\ncors_allow_origins: [b]\nsysdb: c\n";
    struct och_config config = och_config_defaults();
    struct och_arena small;
    struct ochre_error err;
    och_arena_init(&small, account);
    ochre_status status = och_config_parse(&config, &small, "c.yaml", text, sizeof(text) - 1, &err);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    och_arena_clear(&small);
    return status == OCHRE_OK;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(parse_with);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(an_empty_file_leaves_the_defaults),
            cmocka_unit_test(every_setting_is_read),
            cmocka_unit_test(keys_of_the_other_server_are_accepted_and_named),
            cmocka_unit_test(mistakes_are_told_with_their_place),
            cmocka_unit_test(broken_yaml_is_told_with_its_place),
            cmocka_unit_test(deep_nesting_is_refused),
            cmocka_unit_test(a_file_is_read_or_its_absence_told),
            cmocka_unit_test(ports_and_levels_are_read_strictly),
            cmocka_unit_test(memory_is_read_in_bytes_and_their_multiples),
            cmocka_unit_test(loopback_is_told_from_what_others_can_reach),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
    };
    return cmocka_run_group_tests_name("config", tests, set_up, tear_down);
}
