import { anyText, type SettingRow } from './types.ts'

/**
 * Rows of the table of settings that only `gengate run` reads; names and defaults are those of the
 * operators' older world. They are texts here and parsed where an engine is started
 * (`src/launch/`): a wrong `VLLM_PORT` in the environment must not keep the gate from running.
 */
export const RUN_SETTINGS = {
  VLLM_HOST: {
    group: 'Engines that gengate run starts',
    type: anyText,
    derived: 'from `_URL`, else `127.0.0.1`',
    doc: 'Address that a vLLM listens on.',
  },
  VLLM_PORT: {
    group: 'Engines that gengate run starts',
    type: anyText,
    derived: 'from `_URL`',
    doc: 'Port that a vLLM listens on. Never the port of the gate.',
  },
  VLLM_VENV: {
    group: 'Engines that gengate run starts',
    type: anyText,
    derived: '`~/.venv-vllm-metal` or `~/.venv-vllm-cpu`',
    doc: 'Virtual environment of vLLM. Unset and none there: for `vllm_cpu` the `vllm` on PATH.',
  },
  VLLM_PYTHON: {
    group: 'Engines that gengate run starts',
    type: anyText,
    doc: 'Python that runs `vllm_cpu`: a path, or a name in the virtual environment. `vllm_metal` always takes the `python3` of its environment.',
  },
  VLLM_MAX_MODEL_LEN: {
    group: 'Engines that gengate run starts',
    type: anyText,
    default: '1024',
    doc: 'Longest prompt and answer together, tokens.',
  },
  VLLM_DTYPE: {
    group: 'Engines that gengate run starts',
    type: anyText,
    derived: '`float16` for `vllm_metal`',
    doc: 'Type of the weights.',
  },
  VLLM_CPU_KVCACHE_SPACE: {
    group: 'Engines that gengate run starts',
    type: anyText,
    default: '1',
    doc: 'Memory for the key-value cache of `vllm_cpu`, GiB.',
  },
  OMP_NUM_THREADS: {
    group: 'Engines that gengate run starts',
    type: anyText,
    default: '4',
    doc: 'Threads of a vLLM.',
  },
} as const satisfies Record<string, SettingRow>
