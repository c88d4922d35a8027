// A service worker. It stores the page's files for offline use, and adds the headers that several threads need.

const CACHE = "captioner";

// Browsers allow threads to share memory only with both headers: https://web.dev/articles/coop-coep.
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

function isolated(response) {
  if (response.status === 0) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATED)) headers.set(name, value);
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}

// Answers a request. A file with a version in its address (?v=…) never changes, so its stored copy is used. Any other
// file is fetched again; its stored copy is used only if that fails.
async function answer(request) {
  const cache = await caches.open(CACHE);
  const version = new URL(request.url).searchParams.get("v");
  const kept = await cache.match(request);
  if (kept && version) return isolated(kept);
  let response;
  try {
    response = await fetch(request);
  } catch (error) {
    if (kept) return isolated(kept);
    throw error;
  }
  if (response.ok) {
    const copy = response.clone();
    // If storing fails, for example on a full disk, the page still works.
    keep(cache, request, copy, version).catch(() => {});
  }
  return isolated(response);
}

// Stores a file and deletes files of other versions.
async function keep(cache, request, response, version) {
  if (version) {
    for (const { url } of await cache.keys()) {
      const other = new URL(url).searchParams.get("v");
      if (other && other !== version) await cache.delete(url);
    }
  }
  await cache.put(request, response);
}

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(self.registration.scope)) event.respondWith(answer(request));
});
