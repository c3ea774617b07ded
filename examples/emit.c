/* Two threads record ranges and a counter into one file:
 *     emit OUTPUT.sbt  */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <tracesmith/tracesmith.h>

static void *
work(void *argument)
{
    (void)argument;
    uint32_t step = tsm_name("step", strlen("step"));
    uint32_t progress = tsm_name("progress", strlen("progress"));
    for (int i = 0; i < 1000; i++) {
        uint64_t began = tsm_ticks();
        /* the work to be measured */
        tsm_emit_range(&(tsm_event){ .type = TSM_EVENT_RANGE, .name = step }, began);
        tsm_emit_counter(progress, i);
    }
    return NULL;
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s OUTPUT.sbt\n", argv[0]);
        return 2;
    }
    tsm_session_config config = tsm_session_config_default();
    config.output = argv[1];
    config.application = "emit";
    tsm_session *session;
    tsm_session_stats stats;
    tsm_error error;
    if (tsm_session_start(&config, &session, &error) != TSM_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, work, NULL) != 0) {
            perror("pthread_create");
            return 1;
        }
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    if (tsm_session_stop(session, &stats, &error) != TSM_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    printf("%llu emitted, %llu in %s, %llu dropped\n", (unsigned long long)stats.emitted,
           (unsigned long long)stats.delivered, argv[1], (unsigned long long)stats.dropped);
    return 0;
}
