import { chatByEnvironment, openaiPython } from './openai-python.ts'
import { prove, proveEnvironment } from './prove.ts'

prove(openaiPython)
proveEnvironment(openaiPython.name, chatByEnvironment)
