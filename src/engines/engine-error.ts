export {
  engineError,
  namesLoading,
  namesNothingLoaded,
  namesUnknownModel,
} from '../api/engine-error.ts'
export { isObject as isRecord } from '../api/read.ts'
