/* Records with the shared library, reads back with the static one. */
#include <stdio.h>
#include <tracesmith/tracesmith.h>

#include <tracesmith/sbt/sbt.h>

static int
record(const char *path)
{
    tsm_session_config config = tsm_session_config_default();
    config.output = path;
    tsm_session *session;
    tsm_error error;
    if (tsm_session_start(&config, &session, &error) != TSM_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    tsm_event event = { .type = TSM_EVENT_MARKER, .name = tsm_name("step", 4) };
    tsm_emit_now(&event);
    return tsm_session_stop(session, NULL, &error) != TSM_OK;
}

int
main(int argc, char **argv)
{
    tsm_sbt_reader *reader;
    tsm_sbt_info info;
    tsm_error error;
    if (argc != 2 || record(argv[1]) != 0 || tsm_sbt_reader_open(argv[1], &reader, &error) != TSM_OK) {
        return 1;
    }
    tsm_sbt_reader_info(reader, &info);
    tsm_sbt_reader_close(reader);
    printf("%s %llu\n", tsm_version(), (unsigned long long)info.event_count);
    return 0;
}
