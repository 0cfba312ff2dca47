/** Does the router's pattern mean this canonical path? Pure. */
export function matches(route: string, path: string): boolean {
  return route.endsWith('*') ? path.startsWith(route.slice(0, -1)) : path === route
}

/** What a log line may show of a target that the guards refused: no password, query or fragment. */
export function pathOf(url: string): string {
  return url.replace(/[?#].*$/s, '').replace(/^[a-z][a-z\d+.-]*:\/\/[^/]*/i, '')
}
