// Copied next to the installed packages, so that they are resolved as in a user's own project.
export const load = (name) => import(name)
