// Written by ui/vite.config.ts.
&[
    File::new("access-D-xzTFvt.js", "text/javascript; charset=utf-8", "\"78ece6729125a08f\"", include_bytes!("access-D-xzTFvt.js")),
    File::new("icon-DiEKJrbj.svg", "image/svg+xml", "\"63349ae419b69e71\"", include_bytes!("icon-DiEKJrbj.svg")),
    File::new("index-Cd32x9lk.js", "text/javascript; charset=utf-8", "\"69b70aa659645d9a\"", include_bytes!("index-Cd32x9lk.js")),
    File::new("index-DpiPq99G.css", "text/css; charset=utf-8", "\"edee6887005d4b45\"", include_bytes!("index-DpiPq99G.css")),
    File::new("index.html", "text/html; charset=utf-8", "\"8ab7a858087b6051\"", include_bytes!("index.html")),
    File::new("map-fPAPOoea.js", "text/javascript; charset=utf-8", "\"37ef8ae177ed32e4\"", include_bytes!("map-fPAPOoea.js")),
]
