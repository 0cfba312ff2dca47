import type { Api } from './api.ts'

/** Pictures, sound and moderation: a `POST` that names a model, whose answer nobody judges. */
export const media = {
  routes: [
    {
      name: 'images',
      paths: ['/v1/images/generations', '/v1/images/edits', '/v1/images/variations'],
      work: null,
    },
    { name: 'speech', paths: ['/v1/audio/speech'], work: null },
    {
      name: 'transcriptions',
      paths: ['/v1/audio/transcriptions', '/v1/audio/translations'],
      work: null,
    },
    { name: 'moderations', paths: ['/v1/moderations'], work: null },
    // A GET lists them.
    { name: 'videos', paths: ['/v1/videos'], work: null, anyMethod: true },
  ],
  body: 'by_type',
  replay: false,
} as const satisfies Api
