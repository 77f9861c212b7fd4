#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "support/check.h"

/* The last event written. */
struct seen {
    int n;
    och_log_level level;
    char event[100];
    char fields[2000];
};

static void
note(void *context, och_log_level level, const char *event, const char *fields)
{
    struct seen *seen = context;
    seen->n++;
    seen->level = level;
    (void) snprintf(seen->event, sizeof(seen->event), "%s", event);
    (void) snprintf(seen->fields, sizeof(seen->fields), "%s", fields);
}

static void
an_event_arrives_with_its_level_name_and_fields(void **state)
{
    (void) state;
    struct seen seen = {0};
    struct och_log log = {note, &seen, OCH_LOG_INFO};
    och_log_event(&log, OCH_LOG_WARN, "segment.merge.slow", "rows=%d ms=%d", 7, 900);
    check(seen.n == 1 && seen.level == OCH_LOG_WARN);
    check(strcmp(seen.event, "segment.merge.slow") == 0);
    check(strcmp(seen.fields, "rows=7 ms=900") == 0);
}

static void
events_below_the_level_are_dropped(void **state)
{
    (void) state;
    struct seen seen = {0};
    struct och_log log = {note, &seen, OCH_LOG_WARN};
    check(och_log_wants(&log, OCH_LOG_ERROR) && och_log_wants(&log, OCH_LOG_WARN));
    check(!och_log_wants(&log, OCH_LOG_INFO) && !och_log_wants(NULL, OCH_LOG_ERROR));
    och_log_event(&log, OCH_LOG_INFO, "a", "%s", "b");
    och_log_event(NULL, OCH_LOG_ERROR, "a", "%s", "b");
    check(seen.n == 0);
}

static void
an_event_is_one_line_of_limited_length(void **state)
{
    (void) state;
    struct seen seen = {0};
    struct och_log log = {note, &seen, OCH_LOG_DEBUG};
    och_log_event(&log, OCH_LOG_DEBUG, "a", "x=%s", "1\n2\r\x7f");
    check(strcmp(seen.fields, "x=1?2??") == 0);
    char text[1500];
    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    och_log_event(&log, OCH_LOG_DEBUG, "a", "%s", text);
    check(strlen(seen.fields) == 1000);
}

static void
every_level_has_a_name(void **state)
{
    (void) state;
    check(strcmp(och_log_level_name(OCH_LOG_ERROR), "error") == 0);
    check(strcmp(och_log_level_name(OCH_LOG_WARN), "warn") == 0);
    check(strcmp(och_log_level_name(OCH_LOG_INFO), "info") == 0);
    check(strcmp(och_log_level_name(OCH_LOG_DEBUG), "debug") == 0);
}

static void
a_quoted_value_is_escaped_and_cut(void **state)
{
    (void) state;
    char out[20];
    struct ochre_bytes text = {"a\"\\\n\xff", 5};
    check(strcmp(och_log_quote(text, out, sizeof(out)), "\"a\\\"\\\\\\x0a\\xff\"") == 0);
    text = (struct ochre_bytes){"", 0};
    check(strcmp(och_log_quote(text, out, sizeof(out)), "\"\"") == 0);
    text = (struct ochre_bytes){"0123456789abcdefghij", 20};
    check(strcmp(och_log_quote(text, out, sizeof(out)), "\"0123456789abcd...\"") == 0);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(an_event_arrives_with_its_level_name_and_fields),
            cmocka_unit_test(events_below_the_level_are_dropped),
            cmocka_unit_test(an_event_is_one_line_of_limited_length),
            cmocka_unit_test(every_level_has_a_name),
            cmocka_unit_test(a_quoted_value_is_escaped_and_cut),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
