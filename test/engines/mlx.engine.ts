import { prove } from './prove.ts'

prove('mlx', 'llamacpp')
