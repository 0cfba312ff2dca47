import { prove } from './prove.ts'

prove('ollama', 'llamacpp')
