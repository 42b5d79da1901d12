// The few things that pages do by themselves; everything works without, too.

// Links in mails carry their token behind `#`, which is sent to no server: it goes into the
// form that uses it, and out of the address.
function takeToken() {
  const token = location.hash.slice(1);
  const field = document.querySelector("input[type=hidden][name=token]");
  if (!token || !field) return;
  field.value = token;
  history.replaceState(null, "", location.pathname);
  for (const each of document.querySelectorAll("[data-with-token]")) each.hidden = false;
  for (const each of document.querySelectorAll("[data-without-token]")) each.hidden = true;
  dispatchEvent(new Event("token"));
}
takeToken();
// A link followed where its page is open already loads nothing.
addEventListener("hashchange", takeToken);

// Whoever signs up lives by the clock that he reads.
for (const each of document.querySelectorAll("[data-time-zone]")) {
  each.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
}

// What was done is told once, and not again when the page is loaded again.
const address = new URL(location.href);
if (address.searchParams.has("told")) {
  address.searchParams.delete("told");
  history.replaceState(null, "", address);
}
