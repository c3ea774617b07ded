/* The smallest of many keys, one per leaf, each of which may change at any time: a tree whose
 * every node holds the smaller of its two. Against a heap it has the way from a leaf to the root
 * known beforehand, so that a step costs a few cycles instead of a mispredicted branch. */
#ifndef TSM_TRACE_TOURNAMENT_H
#define TSM_TRACE_TOURNAMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef unsigned __int128 tsm_tournament_key;

#define TSM_TOURNAMENT_NOBODY (~(tsm_tournament_key)0)

typedef struct {
    tsm_tournament_key *nodes; /* [1] the root, [leaves + i] leaf i */
    size_t leaves;             /* a power of two, or 0 */
} tsm_tournament;

static inline tsm_tournament_key
tsm_tournament_winner(const tsm_tournament *t)
{
    return t->leaves == 0 ? TSM_TOURNAMENT_NOBODY : t->nodes[1];
}

static inline void
tsm_tournament_set(tsm_tournament *t, size_t leaf, tsm_tournament_key key)
{
    size_t at = t->leaves + leaf;
    t->nodes[at] = key;
    for (; at > 1; t->nodes[at] = key) {
        tsm_tournament_key other = t->nodes[at ^ 1];
        key = other < key ? other : key;
        at /= 2;
    }
}

/* Who would win without this leaf. */
static inline tsm_tournament_key
tsm_tournament_rival(const tsm_tournament *t, size_t leaf)
{
    tsm_tournament_key best = TSM_TOURNAMENT_NOBODY;
    for (size_t at = t->leaves + leaf; at > 1; at /= 2) {
        tsm_tournament_key other = t->nodes[at ^ 1];
        best = other < best ? other : best;
    }
    return best;
}

/* Twice the leaves; those that are there keep their numbers. */
static inline bool
tsm_tournament_grow(tsm_tournament *t)
{
    size_t leaves = t->leaves == 0 ? 1 : 2 * t->leaves;
    tsm_tournament_key *nodes = malloc(2 * leaves * sizeof *nodes);
    if (nodes == NULL) {
        return false;
    }
    for (size_t i = 0; i < leaves; i++) {
        nodes[leaves + i] = i < t->leaves ? t->nodes[t->leaves + i] : TSM_TOURNAMENT_NOBODY;
    }
    for (size_t i = leaves - 1; i > 0; i--) {
        nodes[i] = nodes[2 * i] < nodes[2 * i + 1] ? nodes[2 * i] : nodes[2 * i + 1];
    }
    free(t->nodes);
    *t = (tsm_tournament){ nodes, leaves };
    return true;
}

#endif
