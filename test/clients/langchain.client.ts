import { langchain } from './langchain.ts'
import { prove } from './prove.ts'

prove(langchain)
