import { prove } from './prove.ts'

prove('llamacpp', 'llamacpp')
