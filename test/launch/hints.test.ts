// Goal: each known problem gets its one line. Method: lines as engines really wrote them; those of
// llama-server b10434 and vLLM 0.32.0 were copied from a terminal.
import t from 'tap'
import { hintFor } from '../../src/launch/hints.ts'
import { type Runnable, RUNNABLE } from '../../src/launch/start-line.ts'

function hint(engine: Runnable, text: string, end: { code?: number; signal?: string } = {}) {
  const signal = end.signal ?? null
  const code = signal === null ? (end.code ?? 1) : null
  return hintFor({ engine, code, signal, lines: text.split('\n') })
}

const SEEN: Readonly<Record<Runnable, readonly [text: string, hint: RegExp][]>> = {
  llamacpp: [
    [
      "0.00.007.251 E gguf_init_from_file: failed to open GGUF file '/nope.gguf' (No such file or directory)\n0.00.006.938 E srv  llama_server: exiting due to model loading error",
      /^\/nope\.gguf cannot be read/,
    ],
    [
      "0.00.010.306 E gguf_init_from_reader: invalid magic characters: 'root', expected 'GGUF'",
      /cannot read the file as GGUF/,
    ],
    ['error: invalid argument: --bogus', /this llama-server does not know --bogus\. /],
    [
      "0.00.003.816 E srv         start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8192",
      /has taken its port/,
    ],
    [
      '0.01.350.402 E ggml_aligned_malloc: insufficient memory (attempted to allocate 11718.75 MB)\n0.01.350.432 E alloc_tensor_range: failed to allocate CPU buffer of size 12288000000',
      /smaller context \(-- -c 4096\)/,
    ],
    [
      'llama-server: error while loading shared libraries: libllama-server-impl.so: cannot open shared object file: No such file or directory',
      /^libllama-server-impl\.so is missing.*LD_LIBRARY_PATH/,
    ],
  ],
  vllm_cpu: [
    [
      'vllm: error: unrecognized arguments: --swap-space 0 --disable-log-requests',
      /this vLLM does not know --swap-space 0 --disable-log-requests\. /,
    ],
    [
      'importlib.metadata.PackageNotFoundError: No package metadata was found for vllm',
      /Python package vllm is missing/,
    ],
    [
      "/usr/bin/python3: Error while finding module specification for 'vllm.entrypoints.cli.main' (ModuleNotFoundError: No module named 'vllm')",
      /this Python does not have vLLM\. Set VLLM_VENV/,
    ],
    ["ModuleNotFoundError: No module named 'torch'", /Python package torch is missing/],
    [
      'ImportError: libnuma.so.1: cannot open shared object file: No such file or directory',
      /libnuma1/,
    ],
    [
      'ValueError: Available memory on node 0 (1.1/2.0 GiB) on kv cache allocation is less than requested memory for kv (4.0 GiB). Decrease --kv-cache-memory-bytes',
      /Lower VLLM_CPU_KVCACHE_SPACE/,
    ],
    [
      "ValueError: To serve at least one request with the model's max seq len (131072), (4.0 GiB KV cache is needed, which is larger than the available KV cache memory (1.0 GiB).",
      /Lower VLLM_MAX_MODEL_LEN, or raise VLLM_CPU_KVCACHE_SPACE/,
    ],
    [
      "RuntimeError: [enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.",
      /OPENCLAW_VLLM_MODEL=Qwen\/Qwen2\.5-0\.5B-Instruct/,
    ],
    [
      "OSError: Qwen/nope is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
      /does not list this model\. Check OPENCLAW_VLLM_MODEL/,
    ],
    [
      "OSError: We couldn't connect to 'https://huggingface.co' to load the files",
      /the download failed/,
    ],
    ['Cannot access gated repo for url', /HF_TOKEN/],
  ],
  vllm_metal: [
    [
      'RuntimeError: [METAL] Command buffer execution failed: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)',
      /Metal's memory\. Set OPENCLAW_VLLM_MODEL=Qwen\/Qwen2\.5-0\.5B-Instruct/,
    ],
    [
      "ImportError: cannot import name 'MambaCache' from 'mlx_lm.models.cache'",
      /^MambaCache is missing.*Install vllm-metal again: curl .*install\.sh/,
    ],
  ],
  ollama: [
    ['Error: listen tcp 127.0.0.1:11434: bind: address already in use', /has taken its port/],
    ['Error: unknown flag: --port', /takes no flags\. Set variables/],
    ['Error: could not create directory mkdir /root/.ollama: permission denied', /OLLAMA_MODELS/],
  ],
}

t.test('hintFor() knows what engines write when they cannot start', async (t) => {
  for (const engine of RUNNABLE) {
    for (const [text, expected] of SEEN[engine]) {
      const found = hint(engine, text)
      t.match(found, expected, text.slice(0, 60))
      t.notMatch(found, /\n|\$[12]|undefined/, 'one line, filled in')
    }
  }
})

t.test('hintFor() knows signals', async (t) => {
  for (const engine of RUNNABLE) {
    t.match(hint(engine, 'loading', { signal: 'SIGILL' }), /this CPU lacks instructions/)
    t.match(hint(engine, 'loading', { signal: 'SIGKILL' }), /memory ran out/)
    t.match(hint(engine, 'loading', { signal: 'SIGSEGV' }), /crashed/)
  }
  // A worker that dies so takes its vLLM down with an ordinary code.
  t.match(hint('vllm_cpu', 'Worker died with Signals.SIGILL'), /this CPU lacks instructions/)
})

t.test('hintFor() says nothing of what it does not know, or of another engine', async (t) => {
  t.equal(hint('ollama', 'something new'), null)
  t.equal(hint('ollama', 'error: invalid argument: --bogus'), null)
  t.equal(hint('vllm_cpu', '', { code: 0 }), null)
})
