// Shows the REST API's document; all that it loads is from here.
"use strict";

// What the library leaves without a name to be read out, or out of the keyboard's reach.
const LEFT_OUT = [
  ["select#servers", "aria-label", "Server"],
  ["textarea", "aria-label", "Request body"],
  [".microlight", "tabindex", "0"],
];

new MutationObserver(() => {
  for (const [elements, attribute, value] of LEFT_OUT) {
    for (const each of document.querySelectorAll(`${elements}:not([${attribute}])`)) {
      each.setAttribute(attribute, value);
    }
  }
}).observe(document.getElementById("api"), { childList: true, subtree: true });

window.SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  dom_id: "#api",
  validatorUrl: null,
  docExpansion: "list",
  defaultModelsExpandDepth: -1,
  presets: [window.SwaggerUIBundle.presets.apis],
});
