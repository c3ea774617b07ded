/* Who and what takes part in the simulated job: names as real frameworks have them, launch
 * shapes, Python stacks, devices and streams. Made once; afterwards only ids are used. */
#include <stdio.h>
#include <string.h>

#include "ring/ring.h"
#include "source/simulate.h"

typedef struct {
    const char *function, *file;
    uint32_t line;
} frame;

typedef struct {
    const char *name, *operator;
    frame leaf;
    uint32_t typical_ns, blocks, threads, shared_bytes, registers;
} kernel;

#define CUTLASS     "void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_"
#define ELEMENTWISE "void at::native::vectorized_elementwise_kernel<4, at::native::"
#define REDUCE      "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::"

/* clang-format off */ /* a kernel is two or three lines, not eight */
static const kernel forward[TSM_WORLD_FORWARD] = {
    { "void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<c10::BFloat16, float>", "aten::layer_norm",
      { "LayerNorm.forward", "torch/nn/modules/normalization.py", 217 }, 14000, 256, 128, 2048, 40 },
    { CUTLASS "256x128_32x3_tn_align8>(Params)", "aten::linear",
      { "Linear.forward", "torch/nn/modules/linear.py", 125 }, 118000, 216, 256, 73728, 236 },
    { "void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64, 128, 128, 4>, true>",
      "aten::scaled_dot_product_attention", { "Attention.forward", "model.py", 58 }, 146000, 192, 128, 65536, 255 },
    { "ampere_bf16_s16816gemm_bf16_128x128_ldg8_f2f_stages_32x5_tn", "aten::linear",
      { "Linear.forward", "torch/nn/modules/linear.py", 125 }, 87000, 144, 256, 81920, 230 },
    { "void at::native::(anonymous namespace)::fused_dropout_kernel_vec<c10::BFloat16, float, unsigned int>",
      "aten::native_dropout", { "Dropout.forward", "torch/nn/modules/dropout.py", 70 }, 11000, 432, 256, 0, 32 },
    { ELEMENTWISE "CUDAFunctor_add<c10::BFloat16>, at::detail::Array<char*, 3>>", "aten::add",
      { "Block.forward", "model.py", 83 }, 7000, 864, 128, 0, 24 },
    { CUTLASS "128x256_32x3_tn_align8>(Params)", "aten::linear",
      { "MLP.forward", "model.py", 31 }, 131000, 216, 256, 73728, 238 },
    { ELEMENTWISE "GeluCUDAKernelImpl<c10::BFloat16>, at::detail::Array<char*, 2>>", "aten::gelu",
      { "MLP.forward", "model.py", 32 }, 16000, 1728, 128, 0, 28 },
    { "ampere_bf16_s16816gemm_bf16_256x64_ldg8_f2f_stages_64x3_tn", "aten::linear",
      { "MLP.forward", "model.py", 33 }, 124000, 288, 256, 98304, 220 },
    { "void at::native::(anonymous namespace)::softmax_warp_forward<c10::BFloat16, float, 10, true>",
      "aten::_log_softmax", { "cross_entropy", "torch/nn/functional.py", 3104 }, 22000, 512, 128, 0, 48 },
    { "void at::native::(anonymous namespace)::indexSelectLargeIndex<c10::BFloat16, long, 2>", "aten::embedding",
      { "Embedding.forward", "torch/nn/modules/sparse.py", 190 }, 19000, 640, 128, 0, 30 },
    { "triton_poi_fused_add_mul_native_layer_norm_3", "aten::mul", { "Block.forward", "model.py", 84 },
      9000, 384, 256, 1024, 34 },
};

static const kernel backward[TSM_WORLD_BACKWARD] = {
    { "void at::native::(anonymous namespace)::layer_norm_grad_input_kernel_vectorized<c10::BFloat16, float>",
      "NativeLayerNormBackward0", { 0 }, 27000, 256, 128, 2048, 44 },
    { CUTLASS "128x256_32x3_nn_align8>(Params)", "AddmmBackward0", { 0 }, 133000, 216, 256, 73728, 238 },
    { CUTLASS "128x256_32x3_nt_align8>(Params)", "AddmmBackward0", { 0 }, 141000, 216, 256, 73728, 238 },
    { "void pytorch_flash::flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel<Flash_bwd_kernel_traits<64, 128, 128, 8>>",
      "ScaledDotProductFlashAttentionBackward0", { 0 }, 204000, 192, 256, 147456, 255 },
    { "void pytorch_flash::flash_bwd_dot_do_o_kernel<true, Flash_bwd_kernel_traits<64, 128, 128, 8>>",
      "ScaledDotProductFlashAttentionBackward0", { 0 }, 12000, 192, 256, 16384, 64 },
    { "ampere_bf16_s16816gemm_bf16_128x64_ldg8_f2f_stages_64x4_nn", "AddmmBackward0", { 0 },
      92000, 288, 128, 98304, 218 },
    { "ampere_bf16_s16816gemm_bf16_64x128_sliced1x2_ldg8_f2f_nt", "AddmmBackward0", { 0 },
      97000, 288, 128, 98304, 222 },
    { "void at::native::(anonymous namespace)::masked_scale_kernel<c10::BFloat16, float>",
      "NativeDropoutBackward0", { 0 }, 10000, 432, 256, 0, 26 },
    { ELEMENTWISE "GeluBackwardCUDAKernelImpl<c10::BFloat16>, at::detail::Array<char*, 3>>", "GeluBackward0", { 0 },
      18000, 1728, 128, 0, 32 },
    { REDUCE "sum_functor<c10::BFloat16, float>>>", "SumBackward1", { 0 }, 15000, 108, 512, 4096, 36 },
    { "void at::native::(anonymous namespace)::GammaBetaBackwardCUDAKernel<c10::BFloat16, float>",
      "NativeLayerNormBackward0", { 0 }, 21000, 96, 512, 4224, 40 },
    { "void at::native::(anonymous namespace)::softmax_warp_backward<c10::BFloat16, float, 10, true>",
      "LogSoftmaxBackward0", { 0 }, 24000, 512, 128, 0, 50 },
    { "void at::native::(anonymous namespace)::embedding_backward_feature_kernel<c10::BFloat16, float, long>",
      "EmbeddingBackward0", { 0 }, 33000, 320, 128, 8192, 38 },
    { ELEMENTWISE "CUDAFunctorOnSelf_add<c10::BFloat16>, at::detail::Array<char*, 2>>",
      "torch::autograd::AccumulateGrad", { 0 }, 6000, 864, 128, 0, 22 },
};

#define MULTI_TENSOR "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<"

static const kernel optimizer[TSM_WORLD_OPTIMIZER] = {
    { MULTI_TENSOR "TensorListMetadata<1>, LpNormFunctor<float, float, 1>>", "aten::_foreach_norm",
      { "clip_grad_norm_", "torch/nn/utils/clip_grad.py", 84 }, 38000, 320, 512, 64, 32 },
    { MULTI_TENSOR "FusedOptimizerTensorListMetadata<4>, FusedAdamMathFunctor<float, 4>>", "aten::_fused_adamw_",
      { "AdamW.step", "torch/optim/adamw.py", 209 }, 176000, 320, 512, 0, 64 },
    { MULTI_TENSOR "TensorListMetadata<2>, BinaryOpScalarFunctor<float, 2, 1, 1>>", "aten::_foreach_mul_",
      { "EMA.update", "train.py", 63 }, 52000, 320, 512, 0, 28 },
    { MULTI_TENSOR "TensorListMetadata<2>, Copy<c10::BFloat16, float>>", "aten::_foreach_copy_",
      { "EMA.update", "train.py", 64 }, 44000, 320, 512, 0, 20 },
};

/* Shorter than its launch takes: a loop of these leaves the device waiting for the host. */
static const kernel norm = {
    REDUCE "NormTwoOps<float, float>>>", "aten::linalg_vector_norm",
    { "log_activation_norms", "train.py", 93 }, 2900, 36, 512, 2048, 30
};
/* clang-format on */

static uint32_t
text(const char *string)
{
    return tsm_ring_text(TSM_TABLE_STRINGS, string, strlen(string));
}

static uint32_t
push_frame(uint32_t parent, frame at)
{
    uint64_t row[] = {
        [TSM_FRAME_FUNCTION] = text(at.function),
        [TSM_FRAME_FILE] = text(at.file),
        [TSM_FRAME_LINE] = at.line,
        [TSM_FRAME_ADDRESS] = 0,
        [TSM_FRAME_KIND] = TSM_FRAME_PYTHON,
    };
    uint32_t leaf = tsm_ring_row(TSM_TABLE_FRAMES, row);
    return tsm_ring_row(TSM_TABLE_STACKS, (uint64_t[]){ [TSM_STACK_PARENT] = parent, [TSM_STACK_FRAME] = leaf });
}

typedef struct {
    const char *name;
    tsm_column_type type;
} field;

static uint32_t
make_schema(const char *name, const field *fields, size_t count)
{
    uint32_t row = tsm_ring_row(TSM_TABLE_SCHEMAS, (uint64_t[]){ 0, text(name), 0 });
    for (size_t i = 0; i < count; i++) {
        row = tsm_ring_row(TSM_TABLE_SCHEMAS, (uint64_t[]){ row, text(fields[i].name), fields[i].type });
    }
    return row;
}

static void
make_schemas(tsm_world *world)
{
    static const field allocation[] = { { "address", TSM_COLUMN_HEX }, { "in_use", TSM_COLUMN_U64 } };
    static const field copy[] = { { "source", TSM_COLUMN_HEX }, { "destination", TSM_COLUMN_HEX } };
    static const field collective[] = { { "sequence", TSM_COLUMN_U64 },
                                        { "bytes", TSM_COLUMN_U64 },
                                        { "ranks", TSM_COLUMN_U64 } };
    world->allocation_schema = make_schema("allocation", allocation, 2);
    world->copy_schema = make_schema("copy", copy, 2);
    world->collective_schema = make_schema("collective", collective, 3);
}

static void
make_kernel(tsm_world_kernel *out, const kernel *kind, uint32_t caller)
{
    out->name = text(kind->name);
    out->operator= text(kind->operator);
    out->stack = kind->leaf.function == NULL ? caller : push_frame(caller, kind->leaf);
    out->typical_ns = kind->typical_ns;
    for (uint32_t i = 0; i < TSM_WORLD_SHAPES; i++) {
        uint64_t row[TSM_LAUNCH_METADATA + 1] = {
            [TSM_LAUNCH_GRID_X] = (uint64_t)kind->blocks << i,
            [TSM_LAUNCH_GRID_Y] = 1,
            [TSM_LAUNCH_GRID_Z] = 1,
            [TSM_LAUNCH_BLOCK_X] = kind->threads,
            [TSM_LAUNCH_BLOCK_Y] = 1,
            [TSM_LAUNCH_BLOCK_Z] = 1,
            [TSM_LAUNCH_SHARED_DYNAMIC] = kind->shared_bytes,
            [TSM_LAUNCH_REGISTERS] = kind->registers,
        };
        out->shapes[i] = tsm_ring_row(TSM_TABLE_LAUNCHES, row);
    }
}

static void
make_stacks(tsm_world *world)
{
    uint32_t program =
        push_frame(push_frame(0, (frame){ "<module>", "train.py", 131 }), (frame){ "main", "train.py", 118 });
    uint32_t step = push_frame(program, (frame){ "train_step", "train.py", 87 });
    uint32_t block = push_frame(push_frame(step, (frame){ "Transformer.forward", "model.py", 112 }),
                                (frame){ "Block.forward", "model.py", 81 });
    uint32_t engine = push_frame(push_frame(step, (frame){ "Tensor.backward", "torch/_tensor.py", 581 }),
                                 (frame){ "_engine_run_backward", "torch/autograd/graph.py", 825 });
    world->setup_stack = push_frame(program, (frame){ "build_model", "train.py", 42 });
    world->load_stack = push_frame(program, (frame){ "to_device", "train.py", 71 });
    world->loss_stack = push_frame(step, (frame){ "Tensor.item", "train.py", 90 });
    world->reduce_stack = push_frame(engine, (frame){ "all_reduce_hook", "torch/distributed/hooks.py", 36 });
    world->zero_stack = push_frame(step, (frame){ "Optimizer.zero_grad", "torch/optim/optimizer.py", 976 });
    world->activation_stack = block;
    world->leak_stack = push_frame(step, (frame){ "History.append", "train.py", 97 });
    for (uint32_t i = 0; i < TSM_WORLD_FORWARD; i++) {
        make_kernel(&world->forward[i], &forward[i], block);
    }
    for (uint32_t i = 0; i < TSM_WORLD_BACKWARD; i++) {
        make_kernel(&world->backward[i], &backward[i], engine);
    }
    for (uint32_t i = 0; i < TSM_WORLD_OPTIMIZER; i++) {
        make_kernel(&world->optimizer[i], &optimizer[i], step);
    }
    make_kernel(&world->norm, &norm, step);
}

void
tsm_world_make(tsm_world *world, uint32_t process)
{
    world->process = process;
#define X(member, string) world->names.member = text(string);
    TSM_WORLD_NAMES(X)
#undef X
    make_stacks(world);
    make_schemas(world);
}

static uint32_t
make_stream(const tsm_world *world, uint32_t device, uint64_t raw_id, const char *name, int64_t priority)
{
    uint64_t row[] = {
        [TSM_STREAM_PROCESS] = world->process,
        [TSM_STREAM_DEVICE] = device,
        [TSM_STREAM_CONTEXT] = 1,
        [TSM_STREAM_RAW_ID] = raw_id,
        [TSM_STREAM_NAME] = text(name),
        [TSM_STREAM_PRIORITY] = (uint64_t)priority,
    };
    return tsm_ring_row(TSM_TABLE_STREAMS, row);
}

static uint32_t
make_device(uint32_t ordinal)
{
    uint64_t row[] = {
        [TSM_DEVICE_HOST] = 0,
        [TSM_DEVICE_ORDINAL] = ordinal,
        [TSM_DEVICE_NAME] = text("Simulated GPU"),
        [TSM_DEVICE_VENDOR] = text("TraceSmith"),
        [TSM_DEVICE_UUID_HIGH] = 0x53494d554c415445u, /* "SIMULATE" */
        [TSM_DEVICE_UUID_LOW] = ordinal,
        [TSM_DEVICE_COMPUTE_MAJOR] = 8,
        [TSM_DEVICE_COMPUTE_MINOR] = 0,
        [TSM_DEVICE_MEMORY_BYTES] = (uint64_t)80 << 30,
        [TSM_DEVICE_MEMORY_CLOCK_KHZ] = 1593000,
        [TSM_DEVICE_MEMORY_BUS_BITS] = 5120,
        [TSM_DEVICE_MULTIPROCESSORS] = 108,
        [TSM_DEVICE_THREADS_PER_MULTIPROCESSOR] = 2048,
        [TSM_DEVICE_CLOCK_KHZ] = 1410000,
        [TSM_DEVICE_WARP_SIZE] = 32,
    };
    return tsm_ring_row(TSM_TABLE_DEVICES, row);
}

void
tsm_world_add_device(const tsm_world *world, uint32_t ordinal, uint32_t streams, tsm_world_device *out)
{
    char name[32];
    snprintf(name, sizeof name, "trainer %u", ordinal);
    uint64_t thread[] = {
        [TSM_THREAD_PROCESS] = world->process, [TSM_THREAD_TID] = 1000 + ordinal, [TSM_THREAD_NAME] = text(name)
    };
    uint64_t counter[] = {
        [TSM_COUNTER_NAME] = world->names.memory_counter,
        [TSM_COUNTER_UNIT] = text("bytes"),
        [TSM_COUNTER_TRACK] = ordinal,
    };
    out->thread = tsm_ring_row(TSM_TABLE_THREADS, thread);
    out->device = make_device(ordinal);
    out->counter = tsm_ring_row(TSM_TABLE_COUNTERS, counter);
    /* The id that CUPTI gives to what concerns every stream. */
    out->whole = make_stream(world, out->device, UINT32_MAX, "all streams", 0);
    for (uint32_t i = 0; i < streams; i++) {
        snprintf(name, sizeof name, "compute %u", i);
        out->streams[i] = make_stream(world, out->device, 7 + i, name, 0);
    }
    out->streams[streams + TSM_WORLD_COPY_STREAM] = make_stream(world, out->device, 7 + streams, "copy", 0);
    out->streams[streams + TSM_WORLD_COMMUNICATION_STREAM] =
        make_stream(world, out->device, 8 + streams, "communication", -5);
}
