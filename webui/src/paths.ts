/** Which addresses are pages of this application. */

const OURS = /^\/($|experiments|compare|cluster|queue|login|settings)/;

export function isOurs(path: string): boolean {
  return OURS.test(path);
}

/** Where to go after a login: an address of this application; what names any other place is not followed. */
export function afterLogin(wanted: string | null, origin: string): string {
  const fallback = "/experiments";
  if (!wanted || !URL.canParse(wanted, origin)) return fallback;
  const to = new URL(wanted, origin);
  if (to.origin !== origin || !isOurs(to.pathname) || to.pathname.startsWith("/login")) return fallback;
  return to.pathname + to.search + to.hash;
}
