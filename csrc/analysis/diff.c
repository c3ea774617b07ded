/* Two traces compared: by steps where both have them, else by the window; and kernel by kernel.
 * What is called a change is larger than the threshold and unlikely to be chance (Welch's t). */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/map.h"
#include "analysis/reports.h"
#include "analysis/steps.h"

typedef struct {
    double count, mean, variance; /* of the sample */
} sample;

static sample
sample_of(const tsm_summary *summary)
{
    double n = (double)summary->count, deviation = tsm_summary_deviation(summary);
    return (sample){ n, tsm_summary_average(summary), n > 1 ? deviation * deviation * n / (n - 1) : 0 };
}

/* The continued fraction of the incomplete beta function, by Lentz. */
static double
beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double result = d;
    for (int m = 1; m < 300; m++) {
        double terms[2] = { m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)) };
        double before = result;
        for (int k = 0; k < 2; k++) {
            d = 1 + terms[k] * d;
            c = 1 + terms[k] / c;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = fabs(c) < tiny ? tiny : c;
            result *= d * c;
        }
        if (fabs(result - before) < 1e-12 * fabs(result)) {
            break;
        }
    }
    return result;
}

/* How often |t| is exceeded by chance. */
static double
two_sided(double t, double freedom)
{
    double x = freedom / (freedom + t * t), a = freedom / 2, b = 0.5;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x <= 0 || x >= 1) {
        return x <= 0 ? 0 : 1;
    }
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

static double
welch(sample a, sample b)
{
    if (a.count < 2 || b.count < 2) {
        return 1;
    }
    double left = a.variance / a.count, right = b.variance / b.count, error = left + right;
    if (error <= 0) {
        return a.mean == b.mean ? 1 : 0;
    }
    double freedom = error * error / (left * left / (a.count - 1) + right * right / (b.count - 1));
    return two_sided((a.mean - b.mean) / sqrt(error), freedom);
}

/* One number a side tells nothing of chance: then the threshold alone decides. */
static tsm_change
judge(sample before, sample after, double p, double threshold, double alpha)
{
    double ratio = before.mean > 0 ? after.mean / before.mean : 1;
    bool certain = p <= alpha || before.count < 2 || after.count < 2;
    if (!certain || fabs(ratio - 1) <= threshold) {
        return TSM_DIFF_SAME;
    }
    return ratio > 1 ? TSM_DIFF_SLOWER : TSM_DIFF_FASTER;
}

/* ---- The whole ---------------------------------------------------------------------------------- */

static bool
steps_of(const tsm_analysis *analysis, tsm_summary *durations)
{
    tsm_steps steps;
    bool done = tsm_steps_of(&analysis->records, &steps);
    for (size_t i = 0; done && i < steps.count; i++) {
        done = tsm_summary_add(durations, steps.items[i]->fields[TSM_STEP_NS]);
    }
    tsm_steps_free(&steps);
    return done;
}

static sample
one_number(uint64_t value)
{
    return (sample){ 1, (double)value, 0 };
}

static bool
compare_whole(const tsm_analysis *before, const tsm_analysis *after, double threshold, double alpha,
              tsm_difference *out)
{
    tsm_summary left = { 0 }, right = { 0 };
    bool done = steps_of(before, &left) && steps_of(after, &right);
    bool by_step = left.count >= 2 && right.count >= 2;
    sample a = by_step ? sample_of(&left) : one_number(out->before.window_ns);
    sample b = by_step ? sample_of(&right) : one_number(out->after.window_ns);
    out->by = by_step ? "step" : "window";
    out->ratio = a.mean > 0 ? b.mean / a.mean : 0;
    out->p = welch(a, b);
    out->change = judge(a, b, out->p, threshold, alpha);
    tsm_summary_free(&left);
    tsm_summary_free(&right);
    return done;
}

/* ---- Kernels ------------------------------------------------------------------------------------ */

static tsm_text
name_of(const tsm_analysis *analysis, const tsm_kernel *kernel)
{
    return tsm_records_borrow(&analysis->records, kernel->record->keys[0]);
}

static tsm_kernel_change
compare_kernel(tsm_text name, const tsm_summary *before, const tsm_summary *after, double threshold, double alpha)
{
    static const tsm_summary none;
    const tsm_summary *left = before == NULL ? &none : before, *right = after == NULL ? &none : after;
    sample a = sample_of(left), b = sample_of(right);
    double p = welch(a, b);
    return (tsm_kernel_change){
        .name = name,
        .count_before = left->count,
        .count_after = right->count,
        .total_before = left->sum,
        .total_after = right->sum,
        .median_before = tsm_summary_quantile(left, 0.5),
        .median_after = tsm_summary_quantile(right, 0.5),
        .ratio = before == NULL || after == NULL || a.mean <= 0 ? 0 : b.mean / a.mean,
        .p = p,
        .change = before == NULL  ? TSM_DIFF_NEW
                  : after == NULL ? TSM_DIFF_REMOVED
                                  : judge(a, b, p, threshold, alpha),
    };
}

static double
change_of(const tsm_kernel_change *kernel)
{
    return fabs((double)kernel->total_after - (double)kernel->total_before);
}

static int
by_change(const void *a, const void *b)
{
    double left = change_of(a), right = change_of(b);
    tsm_text one = ((const tsm_kernel_change *)a)->name, other = ((const tsm_kernel_change *)b)->name;
    if (left != right) {
        return left < right ? 1 : -1;
    }
    int order = memcmp(one.data, other.data, one.size < other.size ? one.size : other.size);
    return order != 0 ? order : (one.size > other.size) - (one.size < other.size);
}

/* Texts of two analyses meet in a table of their own. */
static bool
index_kernels(tsm_tables *names, const tsm_analysis *analysis, const tsm_kernels *kernels, tsm_map *map)
{
    bool done = true;
    for (size_t i = 0; done && i < kernels->count; i++) {
        tsm_text name = name_of(analysis, &kernels->items[i]);
        uint32_t row = 0;
        done =
            (name.size == 0 || tsm_tables_intern_text(names, TSM_TABLE_STRINGS, name.data, name.size, &row) == TSM_OK)
            && tsm_map_put(map, row, 0, &kernels->items[i]);
    }
    return done;
}

static const tsm_kernel *
same_kernel(tsm_tables *names, const tsm_map *map, tsm_text name)
{
    uint32_t row = name.size == 0 ? 0 : tsm_tables_find_text(names, TSM_TABLE_STRINGS, name.data, name.size);
    return row == 0 && name.size > 0 ? NULL : tsm_map_get(map, row, 0);
}

static bool
compare_kernels(const tsm_analysis *before, const tsm_analysis *after, const tsm_kernels *left,
                const tsm_kernels *right, tsm_tables *names, double threshold, double alpha, tsm_difference *out)
{
    tsm_map old = { 0 }, new = { 0 };
    bool done = index_kernels(names, before, left, &old) && index_kernels(names, after, right, &new);
    out->kernels = calloc(left->count + right->count + 1, sizeof *out->kernels);
    done = done && out->kernels != NULL;
    for (size_t i = 0; done && i < left->count; i++) {
        tsm_text name = name_of(before, &left->items[i]);
        const tsm_kernel *other = same_kernel(names, &new, name);
        out->kernels[out->kernel_count++] =
            compare_kernel(name, &left->items[i].durations, other == NULL ? NULL : &other->durations, threshold, alpha);
    }
    for (size_t i = 0; done && i < right->count; i++) {
        tsm_text name = name_of(after, &right->items[i]);
        if (same_kernel(names, &old, name) == NULL) {
            out->kernels[out->kernel_count++] =
                compare_kernel(name, NULL, &right->items[i].durations, threshold, alpha);
        }
    }
    if (done) {
        qsort(out->kernels, out->kernel_count, sizeof *out->kernels, by_change);
    }
    tsm_map_free(&old);
    tsm_map_free(&new);
    return done;
}

static tsm_text
verdict(tsm_difference *d, bool *failed)
{
    const char *what = strcmp(d->by, "step") == 0 ? "steps take" : "the run takes";
    double percent = 100 * (d->ratio - 1);
    if (d->before.devices == 0 || d->after.devices == 0) {
        return tsm_texts_format(&d->texts, failed, "Nothing to compare: %s has no GPU work.",
                                d->before.devices == 0 ? "the first trace" : "the second trace");
    }
    if (d->change == TSM_DIFF_SAME) {
        return tsm_texts_format(&d->texts, failed,
                                "No difference: %s %.1f %% %s time, which is within the threshold or chance.", what,
                                fabs(percent), percent < 0 ? "less" : "more");
    }
    return tsm_texts_format(&d->texts, failed, "%s: %s %.1f %% %s time (%s).",
                            d->change == TSM_DIFF_SLOWER ? "Slower" : "Faster", what, fabs(percent),
                            d->change == TSM_DIFF_SLOWER ? "more" : "less",
                            strcmp(d->by, "step") == 0 ? "unlikely to be chance" : "one number each: it may be chance");
}

tsm_status
tsm_analysis_diff(const tsm_analysis *before, const tsm_analysis *after, double threshold, double alpha,
                  tsm_difference **out)
{
    tsm_kernels left = { 0 }, right = { 0 };
    tsm_tables *names = NULL;
    bool failed = false;
    tsm_difference *made = calloc(1, sizeof *made);
    if (made == NULL || tsm_tables_create(&names) != TSM_OK) {
        free(made);
        return TSM_E_NOMEM;
    }
    tsm_totals_of(&before->records, &made->before);
    tsm_totals_of(&after->records, &made->after);
    failed = !tsm_kernels_of(&before->records, &left) || !tsm_kernels_of(&after->records, &right)
             || !compare_whole(before, after, threshold, alpha, made)
             || !compare_kernels(before, after, &left, &right, names, threshold, alpha, made);
    made->verdict = verdict(made, &failed);
    tsm_kernels_free(&left);
    tsm_kernels_free(&right);
    tsm_tables_destroy(names);
    if (failed) {
        tsm_difference_destroy(made);
        return TSM_E_NOMEM;
    }
    *out = made;
    return TSM_OK;
}

void
tsm_difference_destroy(tsm_difference *difference)
{
    if (difference != NULL) {
        free(difference->kernels);
        tsm_texts_free(difference->texts);
        free(difference);
    }
}
