<%-- The same as events.jsp, but by a thread of its own: the one that Tomcat gave
     to the request is free meanwhile (asynchronous servlet; web.xml allows it). --%>
<%@ page session="false" contentType="text/event-stream; charset=UTF-8" trimDirectiveWhitespaces="true"
    import="jakarta.servlet.AsyncContext, java.io.IOException, java.io.OutputStream" %>
<%
    String n = request.getParameter("n"), ms = request.getParameter("ms");
    int events = n == null ? 5 : Math.max(0, Math.min(1000, Integer.parseInt(n)));
    long pause = ms == null ? 1000 : Math.max(0, Math.min(60000, Long.parseLong(ms)));

    response.setHeader("Cache-Control", "no-store");
    String first = Thread.currentThread().getName();
    AsyncContext async = request.startAsync();
    async.setTimeout(0);
    new Thread(() -> {
        try {
            OutputStream body = async.getResponse().getOutputStream();
            for (int i = 1; i <= events; i++) {
                Thread.sleep(pause);
                body.write(("id: " + i + "\ndata: event " + i + " of " + events + ", begun by " + first
                    + ", sent by " + Thread.currentThread().getName() + " at " + System.currentTimeMillis()
                    + " ms\n\n").getBytes("UTF-8"));
                async.getResponse().flushBuffer();
            }
        } catch (IOException | InterruptedException e) {
            /* the client went away, or Tomcat ends */
        } finally {
            async.complete();
        }
    }, "sender").start();
    out = pageContext.pushBody();
%>
