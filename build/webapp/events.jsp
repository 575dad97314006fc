<%-- Server-sent events, n of them, one each ms milliseconds, each flushed. --%>
<%@ page session="false" contentType="text/event-stream; charset=UTF-8" trimDirectiveWhitespaces="true" %>
<%
    String n = request.getParameter("n"), ms = request.getParameter("ms");
    int events = n == null ? 5 : Math.max(0, Math.min(1000, Integer.parseInt(n)));
    long pause = ms == null ? 1000 : Math.max(0, Math.min(60000, Long.parseLong(ms)));

    response.setHeader("Cache-Control", "no-store");
    for (int i = 1; i <= events; i++) {
        out.print("id: " + i + "\ndata: event " + i + " of " + events + "\n\n");
        out.flush();
        if (i < events) {
            Thread.sleep(pause);
        }
    }
%>
