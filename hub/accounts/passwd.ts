/** The fields of an account as others write them, in plain words. Pure. */

/** What is not a number of POSIX becomes NaN, which the rule refuses. */
export function readId(text: string): number {
  return /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
}

/** Without slashes at its end. */
export function plainHome(home: string): string {
  return home.length > 1 ? home.replace(/\/+$/, '') : home
}

/** For the GECOS field. Undefined: there is none, or it can't be one. */
export function fullNameOf(text: string): string | undefined {
  const name = text.trim()
  return name === '' || name.length > 200 || /[:\p{Cc}]/u.test(name) ? undefined : name
}
