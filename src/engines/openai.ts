import { ROUTE_NAMES } from '../api/index.ts'
import { PLAIN, type Quirks } from './quirks.ts'

/** Any other server that speaks the OpenAI API: nothing is taken for granted. The specification requires a
 *  model. */
export const openai: Quirks = {
  ...PLAIN,
  kind: 'openai',
  defaultPort: null,
  // It may list a whole catalogue; asking for one of many could load it, or cost money.
  listsUnloaded: true,
  routes: ROUTE_NAMES,
}
