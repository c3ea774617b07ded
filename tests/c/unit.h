/* The harness of the C units: `--list` prints the names of the tests, a name runs that one,
 * nothing runs all. A check that fails says what and where, and ends the program with 1. */
#ifndef TSM_TESTS_UNIT_H
#define TSM_TESTS_UNIT_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *name;
    void (*run)(void);
} unit_test;

#define UNIT(function)      \
    {                       \
#function, function \
    }

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

#define CHECK_EQUAL(actual, expected)                                                                                \
    do {                                                                                                             \
        uint64_t unit_actual = (uint64_t)(actual), unit_expected = (uint64_t)(expected);                             \
        if (unit_actual != unit_expected) {                                                                          \
            fprintf(stderr, "%s:%d: %s is %" PRIu64 ", not %" PRIu64 "\n", __FILE__, __LINE__, #actual, unit_actual, \
                    unit_expected);                                                                                  \
            exit(1);                                                                                                 \
        }                                                                                                            \
    } while (0)

static inline int
unit_main(int argc, char **argv, const unit_test *tests, size_t count)
{
    int ran = 0;
    for (size_t i = 0; i < count; i++) {
        if (argc > 1 && strcmp(argv[1], "--list") == 0) {
            puts(tests[i].name);
            ran++;
        } else if (argc < 2 || strcmp(argv[1], tests[i].name) == 0) {
            tests[i].run();
            ran++;
        }
    }
    return ran > 0 ? 0 : 2;
}

#endif
