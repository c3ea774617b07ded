// The same API from C++, with a scope that records itself:
//     emit OUTPUT.sbt
#include <cstdio>
#include <string_view>

#include <tracesmith/tracesmith.h>

class Range {
public:
    explicit Range(uint32_t name) : name_(name), began_(tsm_ticks()) {}
    Range(const Range &) = delete;
    Range &operator=(const Range &) = delete;
    ~Range()
    {
        tsm_event event = {};
        event.type = TSM_EVENT_RANGE;
        event.name = name_;
        tsm_emit_range(&event, began_);
    }

private:
    uint32_t name_;
    uint64_t began_;
};

static uint32_t name(std::string_view text) { return tsm_name(text.data(), text.size()); }

int main(int argc, char **argv)
{
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s OUTPUT.sbt\n", argv[0]);
        return 2;
    }
    tsm_session_config config = tsm_session_config_default();
    config.output = argv[1];
    tsm_session *session = nullptr;
    tsm_error error;
    if (tsm_session_start(&config, &session, &error) != TSM_OK) {
        std::fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    const uint32_t epoch = name("epoch"), step = name("step");
    for (int i = 0; i < 3; i++) {
        Range outer(epoch);
        for (int j = 0; j < 100; j++) {
            Range inner(step);
        }
    }
    tsm_session_stats stats;
    if (tsm_session_stop(session, &stats, &error) != TSM_OK) {
        std::fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    std::printf("%llu events in %s\n", static_cast<unsigned long long>(stats.delivered), argv[1]);
    return 0;
}
