// Tells the pages behind this window until when the login lasts now, then closes it.
const { ends } = document.querySelector('#renewed').dataset
new BroadcastChannel('hutch-login').postMessage({ ends })
setTimeout(() => window.close(), 300)
