/** What a catalogue of a file, the demo's and none are given and never ask. */
const nobody = () => Promise.reject(new Error('this catalogue asks nobody'))

export const unasked = {
  contact: 'us',
  groupsOf: { account: nobody, login: nobody },
  instrumentsOf: () => Promise.resolve([]),
  ownToken: nobody,
  fetch: nobody,
}
