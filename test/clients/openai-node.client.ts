import { chatByEnvironment, openaiNode } from './openai-node.ts'
import { prove, proveEnvironment } from './prove.ts'

prove(openaiNode)
proveEnvironment(openaiNode.name, chatByEnvironment)
