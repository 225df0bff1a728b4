// Remembers which affiliate's link brought a visitor to this site, and tells it to signups and to Stripe.
// Served as it is written. It loads nothing else, and whatever goes wrong in here stays in here.
(function () {
  "use strict";
  if (window.Rekomi) return;

  var COOKIE = "rk_ref";
  var CLICK = "rk_click"; // the click that the redirect has recorded already
  var LABELS = ["utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "sub_id"];
  var SAME_VISIT_MS = 30 * 60 * 1000; // a page that is opened again within these is no new visit
  var STRIPE_LINKS = 'a[href^="https://buy.stripe.com/"]';
  var STRIPE_ELEMENTS = "stripe-buy-button, stripe-pricing-table";
  var OWN_PARAMS = [/* own */];
  var USUAL_PARAMS = [/* usual */];

  var script = document.currentScript || document.querySelector('script[src*="/api/v1/r/loader.js"]');
  var base = script ? script.src.replace(/\/loader\.js.*$/, "") : "";
  var programId = script ? script.getAttribute("data-program-id") : null;
  var memory = null; // what is known of this visitor, also where cookies are refused
  var ready = Promise.resolve();

  function quietly(work) {
    return function (argument) {
      try {
        return work(argument);
      } catch (error) {
        return null;
      }
    };
  }

  function paramNames() {
    var written = ((script && script.getAttribute("data-rkmi-params")) || "").split(",");
    return OWN_PARAMS.concat(written, USUAL_PARAMS).filter(function (name) {
      return /^[a-z0-9_-]{2,32}$/.test(name);
    });
  }

  function slugsIn(query) {
    var values = paramNames().map(function (name) {
      return (query.get(name) || "").trim().toLowerCase();
    });
    return values
      .filter(function (value, place) {
        return value && value.length <= 64 && values.indexOf(value) === place;
      })
      .slice(0, 5);
  }

  function writeCookie(name, value, seconds, domain) {
    document.cookie =
      name + "=" + value + "; Path=/; SameSite=Lax; Max-Age=" + seconds +
      (domain ? "; Domain=" + domain : "") +
      (location.protocol === "https:" ? "; Secure" : "");
  }

  // The widest domain that browsers let this page set cookies for, so that www. and app. know the same visitor.
  function siteDomain() {
    var parts = location.hostname.split(".");
    if (/^[0-9.]+$|:/.test(location.hostname)) return "";
    for (var i = parts.length - 2; i >= 0; i--) {
      var domain = parts.slice(i).join(".");
      writeCookie("rk_probe", "1", 10, domain);
      if (/(^|; )rk_probe=1/.test(document.cookie)) {
        writeCookie("rk_probe", "", 0, domain);
        return domain;
      }
    }
    return "";
  }

  function recall() {
    if (memory) return memory;
    try {
      var found = document.cookie.match(/(?:^|; )rk_ref=([^;]*)/);
      var kept = found && JSON.parse(decodeURIComponent(found[1]));
      return kept && typeof kept.slug === "string" ? kept : null;
    } catch (error) {
      return null; // cookies are refused, or somebody else wrote this one
    }
  }

  function remember(touch, days) {
    memory = touch;
    try {
      writeCookie(COOKIE, encodeURIComponent(JSON.stringify(touch)), days * 24 * 3600, siteDomain());
    } catch (error) {} // then for as long as this page is open
  }

  // As plain text and without cookies, so that browsers ask for no permission first.
  function post(path, body) {
    return fetch(base + path, { method: "POST", body: JSON.stringify(body), keepalive: true, credentials: "omit" });
  }

  function referrerHost() {
    try {
      var host = new URL(document.referrer).hostname;
      return host === location.hostname ? "" : host;
    } catch (error) {
      return "";
    }
  }

  // An address is copied and shared; the click in it is this visitor's alone.
  function hideClick() {
    var search = location.search.replace(/([?&])rk_click=[^&]*(&?)/, function (_, before, after) {
      return after ? before : "";
    });
    history.replaceState(history.state, "", location.pathname + search + location.hash);
  }

  function track() {
    var query = new URLSearchParams(location.search);
    var slugs = slugsIn(query);
    var clickId = query.get(CLICK);
    var kept = recall();
    if (clickId) quietly(hideClick)();
    if (!slugs.length) return;
    if (kept && !clickId && kept.slug === slugs[0] && Date.now() - kept.at < SAME_VISIT_MS) return;
    var body = { slugs: slugs, programId: programId, clickId: clickId, referrer: referrerHost() };
    body.visitorId = kept ? kept.visitorId : null;
    LABELS.forEach(function (name) {
      if (query.get(name)) body[name] = query.get(name).slice(0, 200);
    });
    ready = post("/click", body)
      .then(function (answer) {
        return answer.status === 200 ? answer.json() : null;
      })
      .then(function (click) {
        if (!click || (kept && click.attributionModel === "FirstTouch")) return;
        var touch = { slug: click.slug, clickId: click.clickId, visitorId: click.visitorId, at: Date.now() };
        remember(touch, click.cookieWindowDays);
        decorate();
      })
      .catch(function () {
        // Not reached: the redirect has recorded its click all the same.
        if (clickId && !kept) memory = { slug: slugs[0], clickId: clickId, visitorId: null, at: Date.now() };
        decorate();
      });
  }

  // A page that a browser prepares ahead is no visit until somebody sees it.
  function whenSeen(work) {
    if (!document.prerendering) return work();
    ready = new Promise(function (seen) {
      document.addEventListener(
        "prerenderingchange",
        function () {
          ready = Promise.resolve();
          work();
          seen(ready);
        },
        { once: true }
      );
    });
  }

  function reference() {
    var touch = recall();
    return touch ? touch.clickId : null;
  }

  function slug() {
    var touch = recall();
    return touch ? touch.slug : null;
  }

  function signUp(who) {
    var touch = recall();
    var email = String(who.email || "");
    // The server keeps nothing of what is no address, and answers every signup alike.
    if (!touch || !/.@[^@]+\.[^@]+$/.test(email)) return Promise.resolve(false);
    var body = { slug: touch.slug, clickId: touch.clickId, programId: programId, email: email };
    if (who.name) body.name = String(who.name);
    return post("/lead/signup", body).then(
      function (answer) {
        return answer.ok;
      },
      function () {
        return false;
      }
    );
  }

  // At once when the visitor is known: the page may be about to leave.
  function convert(who) {
    var person = typeof who === "string" ? { email: who } : who || {};
    if (recall()) return signUp(person);
    return ready.then(function () {
      return signUp(person);
    });
  }

  // Payment Links and Stripe's own elements carry the click; a reference that the page has set itself stays.
  var decorate = quietly(function () {
    var id = reference();
    if (!id) return;
    document.querySelectorAll(STRIPE_LINKS).forEach(function (link) {
      var url = new URL(link.href);
      var given = url.searchParams.get("client_reference_id");
      if (given === id || (given && given !== link.getAttribute("data-rekomi"))) return;
      url.searchParams.set("client_reference_id", id);
      link.href = url.toString();
      link.setAttribute("data-rekomi", id);
    });
    document.querySelectorAll(STRIPE_ELEMENTS).forEach(function (element) {
      var given = element.getAttribute("client-reference-id");
      if (given === id || (given && given !== element.getAttribute("data-rekomi"))) return;
      element.setAttribute("client-reference-id", id);
      element.setAttribute("data-rekomi", id);
    });
  });

  function watch() {
    var waiting = false;
    decorate();
    new MutationObserver(function () {
      if (waiting) return;
      waiting = true;
      setTimeout(function () {
        waiting = false;
        decorate();
      }, 50);
    }).observe(document.documentElement, { childList: true, subtree: true });
  }

  whenSeen(quietly(track));
  quietly(watch)();
  window.Rekomi = {
    convert: quietly(convert),
    identify: quietly(convert),
    reference: quietly(reference),
    slug: quietly(slug),
    ready: ready
  };
})();
