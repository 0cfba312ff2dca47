import { prove } from './prove.ts'

// vLLM takes minutes to start where much else runs; llama.cpp stands beside it.
prove('vllm_cpu', 'llamacpp', { longTokens: 40_000 })
