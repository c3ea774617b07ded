/* Arrows: from calls to their work, and what else extension records tell of. */
#include "export/torch.h"

static void
end_flow(torch *c, const torch_item *item, torch_piece category, torch_piece name)
{
    tsm_pen_say(&c->pen, ",\"cat\":");
    torch_put(c, category);
    tsm_pen_say(&c->pen, ",\"name\":");
    torch_put(c, name);
    torch_put_when(c, item);
}

static void
put_id(torch *c, uint64_t id)
{
    tsm_pen_say(&c->pen, "\"id\":");
    c->pen.at = tsm_print_u64(tsm_pen_room(&c->pen, TSM_NUMBER_CHARS), id);
}

/* The arrow from a call to its work, named by their correlation. */
static void
put_launch_flow(torch *c, const torch_item *item, char phase, uint64_t id)
{
    torch_begin_event(c, phase);
    put_id(c, id);
    end_flow(c, item, c->flow_category, c->flow_name);
    if (phase == 'f') {
        tsm_pen_say(&c->pen, ",\"bp\":\"e\"}");
    } else {
        tsm_pen_say(&c->pen, "}");
    }
}

static void
put_own_flows(torch *c, const torch_item *item)
{
    const tsm_event *event = item->event;
    const uint64_t id = event->correlation + item->track->flow_base;
    if (event->correlation == 0) {
        return;
    }
    if (tsm_event_is_work(event->type)) {
        put_launch_flow(c, item, 'f', id);
    } else if (event->type == TSM_EVENT_RUNTIME_CALL) {
        put_launch_flow(c, item, 's', id);
    }
}

static void
put_told_flows(torch *c, const torch_item *item)
{
    const tsm_event *event = item->event;
    if ((event->flags & TSM_FLAG_FLOW_OUT) != 0) {
        put_launch_flow(c, item, 's', event->correlation);
    }
    if ((event->flags & TSM_FLAG_FLOW_IN) != 0) {
        put_launch_flow(c, item, 'f', event->correlation);
    }
}

enum { FLOW_ID, FLOW_PHASE, FLOW_CATEGORY, FLOW_NAME, FLOW_BIND };

/* Without a field bp, an end is bound to the slice around it, as torch.profiler has it. */
static void
put_bind(torch *c, const tsm_extension *flow, const torch_schema *schema)
{
    if (schema->count <= FLOW_BIND || flow->count <= FLOW_BIND) {
        if (flow->values[FLOW_PHASE] == 'f') {
            tsm_pen_say(&c->pen, ",\"bp\":\"e\"");
        }
        return;
    }
    const torch_piece bind = torch_string(c, (uint32_t)flow->values[FLOW_BIND]);
    if (bind.size > sizeof "\"\"") {
        tsm_pen_say(&c->pen, ",\"bp\":");
        torch_put(c, bind);
    }
}

static void
put_flow(torch *c, const torch_item *item, const tsm_extension *flow)
{
    const torch_schema *schema = torch_schema_of(c, flow->schema);
    const uint64_t *values = flow->values, phase = values[FLOW_PHASE];
    if (schema->kind != TORCH_SCHEMA_FLOW || flow->count <= FLOW_NAME
        || (phase != 's' && phase != 't' && phase != 'f')) {
        return;
    }
    torch_begin_event(c, (char)phase);
    if (schema->types[FLOW_ID] == TSM_COLUMN_REF) {
        tsm_pen_say(&c->pen, "\"id\":");
        torch_put(c, torch_string(c, (uint32_t)values[FLOW_ID]));
    } else {
        put_id(c, values[FLOW_ID]);
    }
    end_flow(c, item, torch_string(c, (uint32_t)values[FLOW_CATEGORY]), torch_string(c, (uint32_t)values[FLOW_NAME]));
    put_bind(c, flow, schema);
    tsm_pen_say(&c->pen, "}");
}

void
torch_put_flows(torch *c, const torch_item *item)
{
    if (c->imported) {
        put_told_flows(c, item);
    } else {
        put_own_flows(c, item);
    }
    for (size_t i = 0; i < item->extension_count; i++) {
        put_flow(c, item, &item->extensions[i]);
    }
}
