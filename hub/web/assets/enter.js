// Sends the ticket on. A module runs after the page is parsed, so the form is there.
document.querySelector('#enter').submit()
