<%-- An answer after ms milliseconds, at most a minute. --%>
<%@ page session="false" contentType="text/plain; charset=UTF-8" trimDirectiveWhitespaces="true" %>
<%
    String ms = request.getParameter("ms");
    long wait = ms == null ? 1000 : Math.max(0, Math.min(60000, Long.parseLong(ms)));
    Thread.sleep(wait);
    out.println("waited: " + wait + " ms");
%>
