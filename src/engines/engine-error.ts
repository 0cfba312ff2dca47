export {
  engineError,
  namesLoading,
  namesNothingLoaded,
  namesUnknownModel,
} from '../core/answer-error.ts'
export { isObject as isRecord } from '../core/answer-read.ts'
