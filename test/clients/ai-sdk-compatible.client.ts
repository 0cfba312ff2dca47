import { aiCompatible } from './ai-sdk-compatible.ts'
import { prove } from './prove.ts'

prove(aiCompatible)
